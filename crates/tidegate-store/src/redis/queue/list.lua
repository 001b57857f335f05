-- ARGV: shelf, owner, how many, then the moment and the id to begin after.
-- Answers with ids, the last first.
local key = P .. 'list:' .. ARGV[1] .. ':' .. ARGV[2]
if not ARGV[4] then return call('ZREVRANGE', key, 0, ARGV[3] - 1) end
-- Those of one moment stand in the order of their ids: to put the id there for
-- a moment tells how many stand before it.
local before = call('ZSCORE', key, ARGV[5])
call('ZADD', key, ARGV[4], ARGV[5])
local from = call('ZREVRANK', key, ARGV[5]) + 1
local ids = call('ZREVRANGE', key, from, from + ARGV[3] - 1)
if before then call('ZADD', key, before, ARGV[5])
else call('ZREM', key, ARGV[5]) end
return ids
