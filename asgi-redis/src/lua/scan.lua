-- One step through the keys of a pattern: the lists among them.
--
-- ARGV  cursor; pattern
-- Returns the next cursor and the names.

local step = call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
local lists = {}
for _, key in ipairs(step[2]) do
  if call('TYPE', key).ok == 'list' then
    lists[#lists + 1] = key
  end
end
return { step[1], lists }
