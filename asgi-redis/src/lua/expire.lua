-- Remembers on which channels messages expired unread, and when.
--
-- KEYS  the hash of the queue
-- ARGV  group expiry in ms; for each channel, what stands for it and the time

for at = 2, #ARGV, 2 do
  local known = call('HGET', KEYS[1], ARGV[at])
  if not known or tonumber(known) < tonumber(ARGV[at + 1]) then
    call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  end
end
call('PEXPIRE', KEYS[1], ARGV[1])
