-- ARGV: name, version, note
local row = load(ARGV[1])
if not row or row.shelf ~= HELD or row.version ~= tonumber(ARGV[2]) then return 0 end
call('HSET', P .. 'e:' .. ARGV[1], 'n', ARGV[3])
return 1
