-- Answers with how long the oldest has waited, then fields and counts.
local all = call('HGETALL', P .. 'count')
local lowest, due
for from = 1, #all, 2 do
  local shelf, rank = string.byte(all[from], 1, 2)
  if shelf == 48 + DUE or shelf == 48 + AGAIN then
    local first = call('ZRANGEBYSCORE', P .. 'ready:' .. string.sub(all[from], 3),
      exact((rank - 48) * RANK), '(' .. exact((rank - 47) * RANK), 'WITHSCORES', 'LIMIT', 0, 1)
    local its = tonumber(first[2])
    local row = its and (not lowest or its % RANK < lowest) and load(first[1])
    if row then lowest, due = its % RANK, row.due end
  end
end
return {due and math.max(now - due, 0) or -1, all}
