-- KEYS: last
--
-- What all scripts of the queue have in common. Rows are read once, changed
-- here, and written at the end, as are the places that they stand in: one
-- command then moves many.
local P = 'tidegate:queue:{q}:'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local WAITING, DUE, AGAIN, HELD, ENDED = 0, 1, 2, 3, 4
local BEGUN, STOPPING, BROKEN, FOLLOWS = 1, 2, 4, 8
local NOWHERE, READY, IS_BROKEN, LATER, IS_HELD, IS_ENDED = 0, 1, 2, 3, 4, 5
-- Ranks are so far apart in the order of what is ready.
local RANK = 2 ^ 44
local FORM = '<BBBI4I4I4I4ddddddd'
local FORM_BYTES = 75

local rows, dirty, places, counts = {}, {}, {}, {}
local last = redis.pcall('HMGET', KEYS[1], 'v', 'o', 't', 'n')
if last.err then
  redis.call('DEL', KEYS[1])
  last = {}
end
local function number(text)
  local read = tonumber(text)
  return read and read >= 0 and read < 2 ^ 53 and read or 0
end
-- By the clock, so that neither is given twice after the last one was lost with
-- a server that crashed.
local version = math.max(number(last[1]), clock[1] * 1000000 + clock[2])
local order = math.max(number(last[2]), now)
local taken, live = number(last[3]), number(last[4])
if not last[4] then
  local all = redis.call('HGETALL', P .. 'count')
  for from = 1, #all, 2 do
    if string.byte(all[from]) < 48 + ENDED then live = live + number(all[from + 1]) end
  end
end

-- A number as a command takes it. Spelled as a whole one: anything else takes
-- longer than the command, and most moments are those of others as well.
local spelled = {}
local function exact(value)
  if value ~= value then return '0' end
  local text = spelled[value]
  if not text then
    text = string.format('%d', value)
    spelled[value] = text
  end
  return text
end

local function next_version()
  version = version + 1
  return version
end

local function has(row, mark) return math.floor(row.marks / mark) % 2 == 1 end
local function mark(row, bit) if not has(row, bit) then row.marks = row.marks + bit end end
local function unmark(row, bit) if has(row, bit) then row.marks = row.marks - bit end end

local function read_known(known)
  local owner, lane, key, parents, id = struct.unpack('<c16I1c0I1c0I4c0I4c0', known)
  return {owner = owner, lane = lane, key = key, parents = parents, id = id}
end

-- What lies there and is none that this home has written stays where it is, for
-- somebody to look at, and is found by nothing any more.
local function set_aside(name)
  redis.call('SADD', P .. 'aside', name)
  for _, place in ipairs({'broken', 'later', 'held', 'ended'}) do
    redis.call('ZREM', P .. place, name)
  end
end

local function make(name, data, known)
  if type(data) ~= 'string' or #data ~= FORM_BYTES or type(known) ~= 'string' then return nil end
  local is_read, row = pcall(read_known, known)
  if not is_read then return nil end
  row.name, row.known = name, known
  row.shelf, row.marks, row.place, row.begun, row.lost, row.waits, row.needed, row.version,
    row.score, row.put, row.due, row.began, row.ended, row.until_ms = struct.unpack(FORM, data)
  row.rank = math.floor(row.score / RANK)
  if row.shelf > 11 or not (row.rank >= 0 and row.rank < 8) then return nil end
  rows[name] = row
  return row
end

-- The row; false where there is none, nil where it is damaged.
local function load(name)
  if rows[name] then return rows[name] end
  local read = redis.pcall('HMGET', P .. 'e:' .. name, 'd', 's')
  if read.err then return nil end
  if not read[1] and not read[2] then return false end
  return make(name, read[1], read[2])
end

-- Where it is to be found; no score for nowhere any more.
local function stand(key, member, score)
  local there = places[key]
  if not there then
    there = {}
    places[key] = there
  end
  there[member] = score or false
end

local PLACES = {[IS_BROKEN] = 'broken', [LATER] = 'later', [IS_HELD] = 'held', [IS_ENDED] = 'ended'}
local function key_of(row)
  if row.place == READY then return P .. 'ready:' .. row.lane end
  return PLACES[row.place] and P .. PLACES[row.place]
end

local function count(row, more)
  local field = string.char(48 + row.shelf, 48 + row.rank) .. row.lane
  counts[field] = (counts[field] or 0) + more
  if row.shelf < ENDED then live = live + more end
end

local function enter(row)
  local key = key_of(row)
  if key then
    local score = row.until_ms
    if row.place == READY then score = row.score
    elseif row.place == IS_BROKEN then score = row.score % RANK
    elseif row.place == LATER then score = row.due end
    stand(key, row.name, score)
  end
end

local function leave(row)
  local key = key_of(row)
  if key then stand(key, row.name) end
end

local function list_of(row) return P .. 'list:' .. row.shelf .. ':' .. row.owner end

-- Puts it on a shelf, to be found by what is to become of it there.
local function shelve(row, shelf, until_ms)
  if row.shelf then
    leave(row)
    if row.shelf ~= shelf then
      stand(list_of(row), row.id)
      count(row, -1)
    end
  end
  local was = row.shelf
  row.shelf, row.until_ms = shelf, until_ms or 0
  if was ~= shelf then
    stand(list_of(row), row.id, row.put)
    count(row, 1)
  end
  if shelf == WAITING then row.place = NOWHERE
  elseif shelf == HELD then row.place = IS_HELD
  elseif shelf >= ENDED then row.place = row.needed > 0 and NOWHERE or IS_ENDED
  elseif has(row, BROKEN) then row.place = IS_BROKEN
  elseif row.due > now then row.place = LATER
  else row.place = READY end
  enter(row)
  dirty[row.name] = row
end

-- More need it, or fewer: what has ended stays meanwhile.
local function need(row, more)
  row.needed = math.max(row.needed + more, 0)
  dirty[row.name] = row
  if row.shelf >= ENDED then
    leave(row)
    row.place = row.needed > 0 and NOWHERE or IS_ENDED
    enter(row)
  end
end

local function begin(row)
  mark(row, BEGUN)
  row.begun, row.began = row.begun + 1, now
end

local function at(when)
  local ms = tonumber(string.sub(when, 2))
  if string.sub(when, 1, 1) == 'i' then return now + ms end
  return math.max(ms, now)
end

local function pack(row)
  return struct.pack(FORM, row.shelf, row.marks, row.place, row.begun, row.lost, row.waits,
    row.needed, row.version, row.score, row.put, row.due, row.began, row.ended, row.until_ms)
end

-- In parts that a command takes.
local function command(name, key, all)
  for from = 1, #all, 1000 do
    redis.call(name, key, unpack(all, from, math.min(from + 999, #all)))
  end
end

local function write_places()
  for key, members in pairs(places) do
    local add, remove = {}, {}
    for member, score in pairs(members) do
      if score then
        add[#add + 1] = exact(score)
        add[#add + 1] = member
      else
        remove[#remove + 1] = member
      end
    end
    command('ZREM', key, remove)
    command('ZADD', key, add)
  end
  places = {}
end

local function write()
  for name, row in pairs(dirty) do
    local left = row.left
    if left then
      redis.call('HSET', P .. 'e:' .. name, 'd', pack(row), unpack(left))
      if row.no_result then redis.call('HDEL', P .. 'e:' .. name, 'r') end
    else
      redis.call('HSET', P .. 'e:' .. name, 'd', pack(row))
    end
  end
  write_places()
  for field, more in pairs(counts) do
    if more ~= 0 and redis.call('HINCRBY', P .. 'count', field, more) <= 0 then
      redis.call('HDEL', P .. 'count', field)
    end
  end
  redis.call('HSET', KEYS[1], 'v', exact(version), 'o', exact(order), 't', exact(taken),
    'n', exact(live))
end

-- The first of a place, as many as are moved at once.
local MOVED_TOGETHER = 500
local function over(place)
  return redis.call('ZRANGEBYSCORE', P .. place, '-inf', now, 'LIMIT', 0, MOVED_TOGETHER)
end

-- Takes back what its holder has been silent about for too long.
local function let_go()
  for _, name in ipairs(over('held')) do
    local row = load(name)
    if row then
      row.version = next_version()
      if has(row, BEGUN) then row.lost = row.lost + 1 end
      row.due = now
      shelve(row, AGAIN)
    else
      set_aside(name)
    end
  end
  write_places()
end

local function ring(node) redis.call('PUBLISH', 'tidegate:queue', node) end
