-- Keeps a reservation under an id for its owner, who may hold so many.
local ids, records = KEYS[1], KEYS[2]
local id, record, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = redis.call('ZRANGEBYSCORE', ids, '-inf', now)
for _, old in ipairs(over) do
  redis.call('ZREM', ids, old)
  redis.call('HDEL', records, old)
end
if redis.call('ZCARD', ids) >= most then return 0 end
redis.call('ZADD', ids, now + lease, id)
redis.call('HSET', records, id, record)
local ttl = math.max(lease, redis.call('PTTL', ids), redis.call('PTTL', records))
redis.call('PEXPIRE', ids, ttl)
redis.call('PEXPIRE', records, ttl)
return 1
