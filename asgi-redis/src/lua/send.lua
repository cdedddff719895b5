-- Puts one message on a channel, unless it is full; gives it to a process that waits, if there is
-- one.
--
-- KEYS  the list of the queue
-- ARGV  prefix; body; expiry in ms; capacity; end of the body's key; begin of the channel's
--       counters; begin of the global counters; whether to count if it is full
-- Returns whether it was put or given, and the keys of messages that were found to have expired.

local list = KEYS[1]
local dead = {}
local capacity = tonumber(ARGV[4])
local length = call('LLEN', list)
if length >= capacity then
  trim(list, dead)
  length = call('LLEN', list)
  if length >= capacity then
    if ARGV[8] == '1' then
      count(ARGV[6], 3600, 'channel_full_count', 1)
      count(ARGV[7], 86400, 'channel_full_count', 1)
    end
    return { 0, dead }
  end
end
local prefix, digits = ARGV[1], ticks .. ARGV[5]
local queue = string.sub(list, #prefix + 1)
if length > 0 or not hand_over(prefix, queue, digits, ARGV[3], ARGV[2]) then
  local key = prefix .. digits
  call('SET', key, ARGV[2], 'PX', ARGV[3])
  call('RPUSH', list, key)
  call('PEXPIRE', list, string.format('%.0f', tonumber(ARGV[3]) + 1000))
  close_bids(prefix, queue)
end
count(ARGV[6], 3600, 'messages_count', 1)
count(ARGV[7], 86400, 'messages_count', 1)
return { 1, dead }
