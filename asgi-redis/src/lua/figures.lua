-- The counters of a channel or of all channels.
--
-- ARGV  begin of the counters
-- Returns messages accepted and refused, in all and in the second before this one.

local second = string.format('%.0f', tonumber(clock[1]) - 1)
local figures = {}
for _, what in ipairs({ 'messages_count', 'channel_full_count' }) do
  figures[#figures + 1] = tonumber(call('GET', ARGV[1] .. what) or 0)
  figures[#figures + 1] = tonumber(call('GET', ARGV[1] .. what .. '_per_second:' .. second) or 0)
end
return figures
