-- One step through the keys of a pattern, removing them.
--
-- ARGV  cursor; pattern
-- Returns the next cursor.

local step = call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
if #step[2] > 0 then
  call('UNLINK', unpack(step[2]))
end
return step[1]
