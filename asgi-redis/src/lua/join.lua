-- Makes a channel a member of a group, and forgets members that expired.
--
-- KEYS  the set of the group
-- ARGV  the channel; group expiry in ms

prune(KEYS[1], ARGV[2])
call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[1])
call('PEXPIRE', KEYS[1], ARGV[2])
