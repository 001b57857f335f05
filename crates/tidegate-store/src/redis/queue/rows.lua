-- KEYS: last
--
-- What all scripts of the queue have in common. Rows are read once, changed
-- here, and written at the end, as are the places that they stand in: one
-- command then moves many.
local P = 'tidegate:queue:{q}:'
local call, floor, format = redis.call, math.floor, string.format
local clock = call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)

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
  call('DEL', KEYS[1])
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
  local all = call('HGETALL', P .. 'count')
  for from = 1, #all, 2 do
    if string.byte(all[from]) < 48 + ENDED then live = live + number(all[from + 1]) end
  end
end

-- A number as a command takes it. Spelled as a whole one: anything else takes
-- longer than the command.
local function exact(value)
  if value ~= value then return '0' end
  return format('%d', value)
end

local function next_version()
  version = version + 1
  return version
end

local function has(row, bit) return row.marks % (bit * 2) >= bit end
local function mark(row, bit) if not has(row, bit) then row.marks = row.marks + bit end end
local function unmark(row, bit) if has(row, bit) then row.marks = row.marks - bit end end

-- A row that is on no shelf yet. With all its fields at once: a table that grows
-- is built anew again and again, which takes longer than the rest.
local function read_known(name, known)
  local owner, lane, key, parents, id = struct.unpack('<c16I1c0I1c0I4c0I4c0', known)
  return {
    name = name, at = P .. 'e:' .. name, known = known,
    owner = owner, lane = lane, key = key, parents = parents, id = id,
    shelf = false, marks = 0, place = 0, begun = 0, lost = 0, waits = 0, needed = 0, version = 0,
    score = 0, rank = 0, put = 0, due = 0, began = 0, ended = 0, until_ms = 0,
    packed = false, left = false,
  }
end

-- What lies there and is none that this home has written stays where it is, for
-- somebody to look at, and is found by nothing any more.
local function set_aside(name)
  call('SADD', P .. 'aside', name)
  for _, place in ipairs({'broken', 'later', 'held', 'ended'}) do
    call('ZREM', P .. place, name)
  end
end

local function make(name, data, known)
  if type(data) ~= 'string' or #data ~= FORM_BYTES or type(known) ~= 'string' then return nil end
  local is_read, row = pcall(read_known, name, known)
  if not is_read then return nil end
  row.shelf, row.marks, row.place, row.begun, row.lost, row.waits, row.needed, row.version,
    row.score, row.put, row.due, row.began, row.ended, row.until_ms = struct.unpack(FORM, data)
  row.rank = floor(row.score / RANK)
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

local PLACES = {[IS_BROKEN] = P .. 'broken', [LATER] = P .. 'later', [IS_HELD] = P .. 'held',
  [IS_ENDED] = P .. 'ended'}
local ready, lists = {}, {}
local function key_of(row)
  if row.place ~= READY then return PLACES[row.place] end
  local key = ready[row.lane]
  if not key then
    key = P .. 'ready:' .. row.lane
    ready[row.lane] = key
  end
  return key
end

-- By lane, and there by shelf and rank.
local function count(row, more)
  local of_lane = counts[row.lane]
  if not of_lane then
    of_lane = {}
    counts[row.lane] = of_lane
  end
  local which = row.shelf * 8 + row.rank
  of_lane[which] = (of_lane[which] or 0) + more
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

local function list_of(row)
  local of_shelf = lists[row.shelf]
  if not of_shelf then
    of_shelf = {}
    lists[row.shelf] = of_shelf
  end
  local key = of_shelf[row.owner]
  if not key then
    key = P .. 'list:' .. row.shelf .. ':' .. row.owner
    of_shelf[row.owner] = key
  end
  return key
end

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
    call(name, key, unpack(all, from, math.min(from + 999, #all)))
  end
end

local function write_places()
  for key, members in pairs(places) do
    local add, added, remove, removed = {}, 0, {}, 0
    for member, score in pairs(members) do
      if score then
        add[added + 1], add[added + 2] = exact(score), member
        added = added + 2
      else
        removed = removed + 1
        remove[removed] = member
      end
    end
    command('ZREM', key, remove)
    command('ZADD', key, add)
  end
  places = {}
end

local function write_counts()
  for lane, of_lane in pairs(counts) do
    for which, more in pairs(of_lane) do
      local field = string.char(48 + floor(which / 8), 48 + which % 8) .. lane
      if more ~= 0 and call('HINCRBY', P .. 'count', field, more) <= 0 then
        call('HDEL', P .. 'count', field)
      end
    end
  end
end

local function write()
  for _, row in pairs(dirty) do
    local left = row.left
    if left then
      call('HSET', row.at, 'd', pack(row), unpack(left))
      if row.no_result then call('HDEL', row.at, 'r') end
    else
      call('HSET', row.at, 'd', row.packed or pack(row))
    end
  end
  write_places()
  write_counts()
  call('HSET', KEYS[1], 'v', exact(version), 'o', exact(order), 't', exact(taken),
    'n', exact(live))
end

-- The first of a place, as many as are moved at once.
local MOVED_TOGETHER = 500
local function over(place)
  return call('ZRANGEBYSCORE', P .. place, '-inf', now, 'LIMIT', 0, MOVED_TOGETHER)
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

local function ring(node) call('PUBLISH', 'tidegate:queue', node) end
