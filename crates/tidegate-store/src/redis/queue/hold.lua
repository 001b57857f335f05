-- ARGV: milliseconds, then for each: name, version, whether it is begun. Answers
-- with 0 for what is lost, 1 for what is held, 2 for what is to stop.
local answers = {}
for from = 2, #ARGV, 3 do
  local row = load(ARGV[from])
  local answer = 0
  if row and row.shelf == HELD and row.version == tonumber(ARGV[from + 1]) then
    if ARGV[from + 2] == '1' and not has(row, BEGUN) then begin(row) end
    shelve(row, HELD, now + ARGV[1])
    answer = has(row, STOPPING) and 2 or 1
  end
  answers[#answers + 1] = answer
end
write()
return answers
