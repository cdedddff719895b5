-- The members of a group; forgets those that expired and those on which a message expired after
-- they were added.
--
-- KEYS  the set of the group
-- ARGV  group expiry in ms; begin of the keys of expired channels; how many digits stand for a
--       channel
-- Returns the members.

local group = KEYS[1]
local digits = tonumber(ARGV[3])
prune(group, ARGV[1])
local with_scores = call('ZRANGE', group, 0, -1, 'WITHSCORES')
local members, expiries = {}, {}
for at = 1, #with_scores, 2 do
  local member = with_scores[at]
  local mark = string.find(member, '!', 1, true)
  local queue = mark and string.sub(member, 1, mark) or member
  local expiry = expiries[queue]
  if expiry == nil then
    expiry = ARGV[2] .. queue
    expiry = call('EXISTS', expiry) == 1 and expiry
    expiries[queue] = expiry
  end
  local time = expiry and call('HGET', expiry, string.sub(redis.sha1hex(member), 1, digits))
  if time and tonumber(with_scores[at + 1]) < tonumber(time) then
    call('ZREM', group, member)
  else
    members[#members + 1] = member
  end
end
return members
