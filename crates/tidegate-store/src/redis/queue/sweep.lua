-- ARGV: most, how many at once. Answers with how many it has removed.
let_go()
local too_many = redis.call('ZCARD', P .. 'ended') - tonumber(ARGV[1])
local first = redis.call('ZRANGE', P .. 'ended', 0, ARGV[2] - 1, 'WITHSCORES')
local swept, damaged = 0, {}
for from = 1, #first, 2 do
  local name = first[from]
  if tonumber(first[from + 1]) > now and swept >= too_many then break end
  local row = load(name)
  if row then
    leave(row)
    stand(list_of(row), row.id)
    count(row, -1)
    redis.call('DEL', P .. 'e:' .. name)
    if row.key ~= '' then redis.call('DEL', P .. 'key:' .. row.key) end
    swept = swept + 1
  else
    set_aside(name)
  end
end
write()
return swept
