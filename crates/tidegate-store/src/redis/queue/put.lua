-- ARGV: node, most, then for each entry: name, known, input, state, rank, when,
-- milliseconds to hold or nothing. Answers with a version or an id for each, or
-- with why nothing was put. An id has `=` before it.
local MOST_FOLLOWERS = 1000
local entries, new_names, new_keys, followers, added = {}, {}, {}, {}, 0
for from = 3, #ARGV, 7 do
  local name, known = ARGV[from], ARGV[from + 1]
  local row = read_known(name, known)
  local keyed = row.key ~= '' and P .. 'key:' .. row.key
  local there = (new_names[name] or call('EXISTS', row.at) == 1) and row.id
  there = there or keyed and (new_keys[row.key] or call('GET', keyed))
  if not there then
    for place = 1, #row.parents, 16 do
      local parent = string.sub(row.parents, place, place + 15)
      local found = load(parent)
      if not found and not new_names[parent] then
        return {'missing', exact((from - 3) / 7), exact((place - 1) / 16)}
      end
      if not found or found.shelf < ENDED then
        followers[parent] = (followers[parent]
          or found and call('SCARD', P .. 'followers:' .. parent) or 0) + 1
        if followers[parent] > MOST_FOLLOWERS then
          return {'crowded', exact((from - 3) / 7), exact((place - 1) / 16)}
        end
      end
    end
    new_names[name], added = true, added + 1
    if keyed then new_keys[row.key] = row.id end
  end
  entries[#entries + 1] = {row = row, from = from, there = there}
end
if added > 0 and live + added > tonumber(ARGV[2]) then return {'full'} end

local placed = {'placed'}
for _, entry in ipairs(entries) do
  local row, from = entry.row, entry.from
  if entry.there then
    placed[#placed + 1] = '=' .. entry.there
  else
    local name, held = ARGV[from], ARGV[from + 6]
    local rank, is_broken = tonumber(ARGV[from + 4]), false
    order = order + 1
    row.rank, row.score = rank, rank * RANK + order
    row.put, row.due, row.version = now, at(ARGV[from + 5]), next_version()
    for place = 1, #row.parents, 16 do
      local parent = string.sub(row.parents, place, place + 15)
      local found = load(parent)
      if found then
        need(found, 1)
        if found.shelf < ENDED then
          row.waits = row.waits + 1
          call('SADD', P .. 'followers:' .. parent, name)
        end
        is_broken = is_broken or found.shelf > ENDED
      end
    end
    if #row.parents > 0 then mark(row, FOLLOWS) end
    if is_broken then mark(row, BROKEN) end
    if held ~= '' then
      begin(row)
      shelve(row, HELD, now + held)
    elseif row.waits > 0 and not is_broken then
      shelve(row, WAITING)
    else
      shelve(row, DUE)
    end
    rows[name] = row
    row.left = {'s', ARGV[from + 1], 'b', ARGV[from + 2], 'z', ARGV[from + 3]}
    if row.key ~= '' then call('SET', P .. 'key:' .. row.key, row.id) end
    placed[#placed + 1] = exact(row.version)
  end
end
write()
if added > 0 then ring(ARGV[1]) end
return placed
