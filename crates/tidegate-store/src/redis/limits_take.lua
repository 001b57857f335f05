-- Takes a held reservation, once and before its lease is over.
local ids, records = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', ids, ARGV[1])
if not ends then return false end
local record = redis.call('HGET', records, ARGV[1])
redis.call('ZREM', ids, ARGV[1])
redis.call('HDEL', records, ARGV[1])
if tonumber(ends) <= now then return false end
return record
