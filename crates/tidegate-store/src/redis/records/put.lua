-- ARGV: expected version, token, place, id, group, milliseconds to live, value
local row = redis.pcall('HMGET', KEYS[4], 'v', 'k', 'm')
if row.err then
  -- Something else lies there; only who wants to replace anything may.
  if ARGV[1] ~= 'anything' then return row end
  redis.call('DEL', KEYS[4])
  row = {}
end
if row[1] and row[2] == ARGV[2] then return row[1] end
if not is_expected(ARGV[1], row[1]) then return false end

trim()
-- By the clock, so that a version is not given twice either after the last one
-- was lost with a server that crashed.
local last = redis.pcall('GET', KEYS[3])
last = type(last) == 'string' and tonumber(last) or 0
if not (last >= 0 and last < 2 ^ 53 - 1) then last = 0 end
local version = string.format('%.0f', math.max(last + 1, clock[1] * 1000000 + clock[2]))
redis.call('SET', KEYS[3], version, 'PX', 86400000)

if row[3] and row[3] ~= ARGV[3] then
  redis.call('ZREM', KEYS[1], row[3])
  redis.call('ZREM', KEYS[2], row[3])
end
local spelled = version .. ' ' .. version
redis.call('HSET', KEYS[4], 'v', spelled, 'k', ARGV[2], 'm', ARGV[3],
  'id', ARGV[4], 'g', ARGV[5], 'b', ARGV[7])
place_until(ARGV[3], ARGV[6] ~= '' and now + ARGV[6])
return spelled
