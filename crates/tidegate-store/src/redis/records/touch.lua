-- ARGV: milliseconds to live
local place = redis.call('HGET', KEYS[4], 'm')
if not place then return 0 end
trim()
place_until(place, now + ARGV[1])
return 1
