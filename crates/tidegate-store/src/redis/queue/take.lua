-- ARGV: most, begin, milliseconds to hold, then lanes, each with how many of it
-- may be held, or nothing. Answers with the time until something else may be
-- there, and the entries.
let_go()
for _, name in ipairs(over('later')) do
  local row = load(name)
  if row then shelve(row, row.shelf) else set_aside(name) end
end
write_places()

local most, begun, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found = {}

local function give(name)
  local read = redis.pcall('HMGET', P .. 'e:' .. name, 'd', 's', 'b', 'z', 'n', 'r')
  local row = rows[name] or not read.err and make(name, read[1], read[2])
  if not row then return false end
  taken = taken + 1
  row.version = next_version()
  unmark(row, BEGUN)
  if #found < begun then begin(row) end
  shelve(row, HELD, now + hold)
  row.packed = pack(row)
  found[#found + 1] = {row.packed, row.known, read[3], read[4], read[5], read[6]}
  return true
end

for _, name in ipairs(most > 0 and call('ZRANGE', P .. 'broken', 0, most - 1) or {}) do
  if not give(name) then set_aside(name) end
end

local lanes = {}
for from = 4, #ARGV, 2 do
  local lane, room = ARGV[from], tonumber(ARGV[from + 1]) or math.huge
  if room < math.huge then
    local fields = {}
    for rank = 0, 7 do fields[rank + 1] = string.char(48 + HELD, 48 + rank) .. lane end
    local held = call('HMGET', P .. 'count', unpack(fields))
    local more = counts[lane] or {}
    for rank = 0, 7 do
      room = room - (tonumber(held[rank + 1]) or 0) - (more[HELD * 8 + rank] or 0)
    end
  end
  local key, left = P .. 'ready:' .. lane, most - #found
  if room > 0 and left > 0 then
    local first = call('ZRANGE', key, 0, left - 1, 'WITHSCORES')
    if #first > 0 then
      lanes[#lanes + 1] = {key = key, room = room, first = first, at = 1, gone = {}, ranks = {},
        empty = {}}
    end
  end
end

-- What is next in a lane, without what was taken from it in this call.
local function head(lane)
  while lane.gone[lane.first[lane.at]] do lane.at = lane.at + 2 end
  local score = lane.first[lane.at + 1]
  return lane.first[lane.at], score and tonumber(score)
end

local function first_of_all()
  local which, name, lowest
  for _, lane in ipairs(lanes) do
    local first, score = head(lane)
    if lane.room > 0 and first and (not lowest or score < lowest) then
      which, name, lowest = lane, first, score
    end
  end
  return which, name, lowest
end

local function oldest_of_all()
  local which, name, score, lowest
  for _, lane in ipairs(lanes) do
    for rank = 0, lane.room > 0 and 7 or -1 do
      local its, first = nil, nil
      if not lane.empty[rank] then
        first = call('ZRANGEBYSCORE', lane.key, exact(rank * RANK),
          '(' .. exact((rank + 1) * RANK), 'WITHSCORES', 'LIMIT', lane.ranks[rank] or 0, 1)
        its = tonumber(first[2])
        lane.empty[rank] = not its
      end
      if its and (not lowest or its % RANK < lowest) then
        which, name, score, lowest = lane, first[1], its, its % RANK
      end
    end
  end
  return which, name, score
end

while #found < most do
  local lane, name, score
  if (taken + 1) % 16 == 0 then lane, name, score = oldest_of_all()
  else lane, name, score = first_of_all() end
  if not lane then break end
  local rank = math.floor(score / RANK)
  lane.gone[name], lane.ranks[rank] = true, (lane.ranks[rank] or 0) + 1
  if give(name) then
    lane.room = lane.room - 1
  else
    stand(lane.key, name)
    set_aside(name)
  end
end
write()

local wait = -1
for _, place in ipairs({'later', 'held'}) do
  local first = call('ZRANGE', P .. place, 0, 0, 'WITHSCORES')[2]
  local left = first and math.max(tonumber(first) - now, 0)
  if left and (wait < 0 or left < wait) then wait = left end
end
return {wait, found}
