-- ARGV: most, how many at once. Answers with how many it has removed.
let_go()
local too_many = call('ZCARD', P .. 'ended') - tonumber(ARGV[1])
local first = call('ZRANGE', P .. 'ended', 0, ARGV[2] - 1, 'WITHSCORES')
local swept, gone = 0, {}
for from = 1, #first, 2 do
  local name = first[from]
  if tonumber(first[from + 1]) > now and swept >= too_many then break end
  local row = load(name)
  if row then
    leave(row)
    stand(list_of(row), row.id)
    count(row, -1)
    gone[#gone + 1] = row.at
    if row.key ~= '' then gone[#gone + 1] = P .. 'key:' .. row.key end
    swept = swept + 1
  else
    set_aside(name)
  end
end
if #gone > 0 then call('DEL', unpack(gone)) end
write()
return swept
