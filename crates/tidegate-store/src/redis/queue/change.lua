-- ARGV: node, then for each: name, version, shelf, when, state, result after a
-- `+` or nothing, token. Answers with the new version, or nothing where it is
-- not in the old one.
-- What it follows is not needed by it any more.
local function unfollow(row)
  unmark(row, FOLLOWS)
  row.waits = 0
  for place = 1, #row.parents, 16 do
    local parent = string.sub(row.parents, place, place + 15)
    call('SREM', P .. 'followers:' .. parent, row.name)
    local found = load(parent)
    if found then need(found, -1) elseif found == nil then set_aside(parent) end
  end
end

-- Lets go on, or hands out, what follows it.
local function let_follow(row)
  local key = P .. 'followers:' .. row.name
  local followers = call('SMEMBERS', key)
  if #followers > 0 then call('DEL', key) end
  local is_well = row.shelf == ENDED
  for _, name in ipairs(followers) do
    local follower = load(name)
    if follower then
      follower.waits = math.max(follower.waits - 1, 0)
      dirty[name] = follower
      if follower.shelf == WAITING and (not is_well or follower.waits == 0) then
        if not is_well then mark(follower, BROKEN) end
        shelve(follower, DUE)
      end
    elseif follower == nil then
      set_aside(name)
    end
  end
end

local answers, is_made = {}, false
for from = 2, #ARGV, 7 do
  local name, answer = ARGV[from], false
  local row = load(name)
  if row and row.version == tonumber(ARGV[from + 1]) then
    local shelf, result = tonumber(ARGV[from + 2]), ARGV[from + 5]
    local when = at(ARGV[from + 3])
    row.version, row.ended = next_version(), 0
    if shelf >= ENDED then
      row.ended = now
      unmark(row, STOPPING)
      if has(row, FOLLOWS) then unfollow(row) end
    else
      row.due = has(row, STOPPING) and now or when
      unmark(row, BROKEN)
      -- What it still follows may let it go on later.
      if shelf == DUE and row.waits > 0 then shelf = WAITING end
    end
    shelve(row, shelf, when)
    if shelf >= ENDED and row.needed > 0 then let_follow(row) end
    row.token = exact(row.version) .. ARGV[from + 6]
    row.left = {'z', ARGV[from + 4], 'k', row.token}
    row.no_result = result == ''
    if result ~= '' then
      row.left[5], row.left[6] = 'r', string.sub(result, 2)
    end
    answer, is_made = exact(row.version), true
  elseif row then
    -- A change that was made, and whose answer was lost, is asked for again.
    local token = row.token or call('HGET', row.at, 'k')
    if token == exact(row.version) .. ARGV[from + 6] then answer = exact(row.version) end
  end
  answers[#answers + 1] = answer
end
if is_made then
  write()
  ring(ARGV[1])
end
return answers
