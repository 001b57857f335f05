-- KEYS: index, ends, last, row
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Takes some places of rows that have ended out of the index: more than one
-- write can add.
local function trim()
  local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 32)
  if #ended > 0 then
    redis.call('ZREM', KEYS[1], unpack(ended))
    redis.call('ZREM', KEYS[2], unpack(ended))
  end
end

-- The index lives as long as the row in it that lives longest.
local function keep_index()
  if redis.call('ZCARD', KEYS[1]) > redis.call('ZCARD', KEYS[2]) then
    redis.call('PERSIST', KEYS[1])
    redis.call('PERSIST', KEYS[2])
    return
  end
  local longest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  if longest then
    redis.call('PEXPIREAT', KEYS[1], longest)
    redis.call('PEXPIREAT', KEYS[2], longest)
  end
end

-- The row at a place ends at a point in time, or never.
local function place_until(place, ends)
  redis.call('ZADD', KEYS[1], 0, place)
  if ends then
    redis.call('PEXPIREAT', KEYS[4], ends)
    redis.call('ZADD', KEYS[2], ends, place)
  else
    redis.call('PERSIST', KEYS[4])
    redis.call('ZREM', KEYS[2], place)
  end
  keep_index()
end

local function is_expected(expected, version)
  if expected == 'anything' then return true end
  if expected == 'absent' then return not version end
  return version == expected
end
