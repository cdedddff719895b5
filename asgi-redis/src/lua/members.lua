-- The members of a group; forgets those that expired and those on which a message expired after
-- they were added.
--
-- KEYS  the set of the group
-- ARGV  group expiry in ms; begin of the keys of expired channels; how many digits stand for a
--       channel
-- Returns the members.

local members, gone = members_of(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]))
forget(KEYS[1], ARGV[1], gone)
return members
