-- ARGV: node, name
local row = load(ARGV[2])
if not row or row.shelf ~= HELD then return 0 end
mark(row, STOPPING)
dirty[row.name] = row
write()
ring(ARGV[1])
return 1
