-- The account of one limit, asked in one trip: what has happened meanwhile is
-- noted first, then one reservation is checked and charged, all or nothing.
--
-- Time is the server's, in microseconds; replies are durations. Grants that
-- lie close together share a segment, which leaves as a whole when its last
-- grant is old enough: nothing ever leaves early. The newest segment and the
-- sums are kept in the field `s`, every older segment in a field of its own
-- under its number. Numbers begin at the time of the account's birth, so that
-- no number is ever given twice, whatever was lost in between.
local account, leases = KEYS[1], KEYS[2]
local call = redis.call
local wants, length, grain = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local known, guard = tonumber(ARGV[4]), tonumber(ARGV[5])
local notes, renewals = tonumber(ARGV[6]), tonumber(ARGV[7])
local lease_time = tonumber(ARGV[8])
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

-- How far the account's time runs ahead of a server whose clock went back.
local offset, latest
-- Sums over the live segments.
local requests, tokens
-- The oldest live segment's number, and the one that the next will get.
local left, next
-- The newest segment, and when the oldest one ends.
local first, last, newest_requests, newest_tokens, oldest
-- Until when nodes keep to their shares as well; when the account was made.
local recover, born
local cool, cause
-- Until when the set of leases is kept at least.
local kept
local stored = 0
local broken, touched = false, false

local function begin(lost)
  offset, latest, requests, tokens, left, next = 0, now, 0, 0, now, now
  first, last, newest_requests, newest_tokens, oldest = 0, 0, 0, 0, 0
  recover, born, cool, cause = 0, now, 0, 0
  if length == 0 then length = 1000000 end
  stored = length
  local ttl = call('PTTL', leases)
  kept = now + math.max(ttl, 0) * 1000
  if lost then recover = now + length end
  touched = true
end

-- A server that has just been started may have forgotten what was granted.
local function is_young()
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then return false end
  local uptime = string.match(info, 'uptime_in_seconds:(%d+)')
  return uptime and uptime * 1000000 < length
end

local state = call('HGET', account, 's')
if state then
  local times, amounts
  if #state == 152 then
    offset, latest, requests, tokens, left, next, first, last, newest_requests,
      newest_tokens, oldest, recover, born, stored, cool, cause, kept, times,
      amounts = struct.unpack('<ddddddddddddddddddd', state)
    broken = times ~= offset + latest + left + next + first + last + oldest
        + recover + born + stored + cool + kept
      or amounts ~= requests + 3 * tokens + 5 * newest_requests + 7 * newest_tokens + cause
  else
    broken = true
  end
elseif wants == '0' and notes == 0 and renewals == 0 and known == 0 then
  local live = call('ZCOUNT', leases, string.format('(%.0f', now), '+inf')
  return {0, 0, 0, 0, 0, live, 0, 0, 0, 0}
end
if broken then
  call('DEL', account)
  begin(true)
  broken = false
elseif not state then
  begin(known ~= 0 or is_young())
else
  if length == 0 then length = stored end
  stored = length
  now = now + offset
  if now < latest then
    offset = offset + latest - now
    now = latest
  end
  latest = now
end
if known ~= 0 and known ~= born and recover < now + length then
  recover, touched = now + length, true
end
if guard > 0 and recover < now + guard then
  recover, touched = now + guard, true
end

local function segment(number)
  if number == next - 1 then return last, newest_requests, newest_tokens end
  local found = call('HGET', account, number)
  if found and #found == 32 then
    local ends, r, t, check = struct.unpack('<dddd', found)
    if check == ends - born + 2 * r + 3 * t then return ends, r, t end
  end
  broken = true
  return now, 0, 0
end

local function put(number, ends, r, t)
  if number == next - 1 then
    newest_requests, newest_tokens = r, t
  else
    local check = ends - born + 2 * r + 3 * t
    call('HSET', account, number, struct.pack('<dddd', ends, r, t, check))
  end
end

local function let_go()
  if left == next then return end
  if now - last >= length then
    for number = left, next - 2 do call('HDEL', account, number) end
    left, requests, tokens = next, 0, 0
    return
  end
  while left < next - 1 and now - oldest >= length and not broken do
    local _, r, t = segment(left)
    requests, tokens = requests - r, tokens - t
    call('HDEL', account, left)
    left = left + 1
    oldest = segment(left)
  end
  -- Beyond 2^53 a difference is not exact; a new sum is.
  if tokens >= 9007199254740992 then
    tokens = 0
    for number = left, next - 1 do
      local _, _, t = segment(number)
      tokens = tokens + t
    end
  end
end

local function charge(r, t)
  if left < next and now - first <= grain then
    last, newest_requests, newest_tokens = now, newest_requests + r, newest_tokens + t
  else
    if left < next then
      local number = next - 1
      next = next + 1
      put(number, last, newest_requests, newest_tokens)
      if left == number then oldest = last end
    else
      next = next + 1
    end
    first, last, newest_requests, newest_tokens = now, now, r, t
    if left == next - 1 then oldest = now end
    touched = true
  end
  requests, tokens = requests + r, tokens + t
  return next - 1
end

local function lend(id, duration)
  local ends = now + duration
  call('ZADD', leases, ends, id)
  if ends > kept then
    kept, touched = ends, touched or duration > lease_time
  end
  -- An emptied set is gone, and its time with it: it is set every time.
  call('PEXPIRE', leases, math.ceil((kept - now) / 1000) + 1000)
end

-- Ends a reservation: its lease, and its cost where it was another one. Once
-- its segment has left, its cost has too.
local function settle(id, number, cost, used)
  call('ZREM', leases, id)
  if used == -1 or number < left or number >= next then return end
  local ends, r, t = segment(number)
  if broken then return end
  local less = 0
  if used == -2 then less, used = math.min(1, r), 0 end
  local other = math.max(0, t - cost) + used
  requests, tokens = requests - less, tokens - t + other
  put(number, ends, r - less, other)
end

let_go()
if broken then
  call('DEL', account)
  begin(true)
  broken = false
end

local at = 13
for _ = 1, notes do
  local kind, a, b = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if kind == 's' then
    settle(a, tonumber(b), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
  elseif kind == 'l' then
    lend(a, tonumber(b))
  elseif kind == 'c' then
    local ends = now + tonumber(a)
    if ends > cool then cool, cause, touched = ends, tonumber(b), true end
  elseif kind == 'w' then
    cool = 0
  end
  at = at + 5
end
for _ = 1, renewals do
  -- One that was lent for longer meanwhile stays so; one that is gone comes back.
  local ends = call('ZSCORE', leases, ARGV[at])
  if not ends or tonumber(ends) < now + lease_time then lend(ARGV[at], lease_time) end
  at = at + 1
end
if broken then
  call('DEL', account)
  begin(true)
  broken = false
end

-- How long until the oldest segments have freed this much.
local function wait(excess, of)
  local freed = 0
  for number = left, next - 1 do
    local ends, r, t = segment(number)
    freed = freed + (of == 2 and r or t)
    if freed >= excess then return math.max(1, length - (now - ends)) end
  end
  return length
end

local verdict, retry, number, count = 0, 0, 0, -1
if wants == '1' then
  local most_requests, most_tokens = tonumber(ARGV[9]), tonumber(ARGV[10])
  local most_leases, cost = tonumber(ARGV[11]), tonumber(ARGV[12])
  if cool > now then
    verdict, retry = 5, cool - now
  else
    if most_tokens >= 0 and tokens + cost > most_tokens then
      verdict, retry = 3, wait(tokens + cost - most_tokens, 3)
    end
    if most_requests >= 0 and requests + 1 > most_requests then
      local later = wait(requests + 1 - most_requests, 2)
      if later > retry then verdict, retry = 2, later end
    end
    if verdict == 0 and most_leases >= 0 then
      call('ZREMRANGEBYSCORE', leases, '-inf', now)
      count = call('ZCARD', leases)
      if count >= most_leases then verdict = 4 end
    end
    if verdict == 0 then
      verdict = 1
      number = charge(1, cost)
      lend(ARGV[at], lease_time)
      count = count + 1
    end
  end
else
  call('ZREMRANGEBYSCORE', leases, '-inf', now)
  count = call('ZCARD', leases)
end

local times = offset + latest + left + next + first + last + oldest + recover
  + born + stored + cool + kept
local amounts = requests + 3 * tokens + 5 * newest_requests + 7 * newest_tokens + cause
call('HSET', account, 's', struct.pack('<ddddddddddddddddddd', offset, latest,
  requests, tokens, left, next, first, last, newest_requests, newest_tokens,
  oldest, recover, born, stored, cool, cause, kept, times, amounts))
if touched then
  local ttl = math.max(2 * length + 1000000, recover - now, cool - now, kept - now)
  call('PEXPIRE', account, math.ceil(ttl / 1000))
end
local most = 4611686018427387904
return {verdict, retry, number, math.min(requests, most), math.min(tokens, most),
  count, math.max(0, recover - now), born, math.max(0, cool - now), cause}
