-- Puts messages back to the head of a channel: those taken for somebody who went away.
--
-- KEYS  the list of the queue
-- ARGV  expiry in ms; for each message, the newest first: its key, its remaining life in ms and
--       its body, or -1 and nothing if only the reference was taken

local list = KEYS[1]
local returned = 0
for at = 2, #ARGV, 3 do
  local key, life = ARGV[at], tonumber(ARGV[at + 1])
  if life > 0 then
    call('SET', key, ARGV[at + 2], 'PX', ARGV[at + 1])
  end
  -- An error where a cluster is moving it.
  if life > 0 or redis.pcall('EXISTS', key) ~= 0 then
    call('LPUSH', list, key)
    returned = returned + 1
  end
end
local least = tonumber(ARGV[1]) + 1000
if returned > 0 and call('PTTL', list) < least then
  call('PEXPIRE', list, string.format('%.0f', least))
end
return returned
