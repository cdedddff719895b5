-- Puts one message on a channel, unless it is full.
--
-- KEYS  the list of the queue
-- ARGV  prefix; body; expiry in ms; capacity; end of the body's key; begin of the channel's
--       counters; begin of the global counters; whether to count if it is full
-- Returns whether it was put there, and the keys of messages that were found to have expired.

local list = KEYS[1]
local dead = {}
local capacity = tonumber(ARGV[4])
if call('LLEN', list) >= capacity then
  trim(list, dead)
  if call('LLEN', list) >= capacity then
    if ARGV[8] == '1' then
      count(ARGV[6], 3600, 'channel_full_count', 1)
      count(ARGV[7], 86400, 'channel_full_count', 1)
    end
    return { 0, dead }
  end
end
local key = ARGV[1] .. ticks .. ARGV[5]
call('SET', key, ARGV[2], 'PX', ARGV[3])
call('RPUSH', list, key)
call('PEXPIRE', list, string.format('%.0f', tonumber(ARGV[3]) + 1000))
count(ARGV[6], 3600, 'messages_count', 1)
count(ARGV[7], 86400, 'messages_count', 1)
return { 1, dead }
