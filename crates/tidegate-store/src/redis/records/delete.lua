-- ARGV: expected version
local row = redis.pcall('HMGET', KEYS[4], 'v', 'm')
if row.err then
  -- Something else lies there; only who wants to delete anything may.
  if ARGV[1] ~= 'anything' then return row end
  row = {}
end
if not is_expected(ARGV[1], row[1]) then return false end
trim()
if row[2] then
  redis.call('ZREM', KEYS[1], row[2])
  redis.call('ZREM', KEYS[2], row[2])
end
keep_index()
return redis.call('DEL', KEYS[4])
