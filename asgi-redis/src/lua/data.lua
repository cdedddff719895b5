-- Leaves a mark on the server, which is gone if the server was emptied.
--
-- KEYS  the mark
-- ARGV  what to leave if there is none; for how long, in ms
-- Returns what is there.

local known = call('GET', KEYS[1])
if known then
  call('PEXPIRE', KEYS[1], ARGV[2])
  return known
end
call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
