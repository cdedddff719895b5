-- Forgets memberships of a group that expired; returns how many.
--
-- KEYS  the set of the group
-- ARGV  group expiry in ms

return prune(KEYS[1], ARGV[1])
