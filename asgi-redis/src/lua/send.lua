-- Puts messages on channels, each unless its channel is full; gives those to processes that wait,
-- where there are any.
--
-- KEYS  for each message, the list of its queue
-- ARGV  prefix; expiry in ms; begin of the global counters. Then for each message: its body;
--       capacity; end of the body's key; begin of the channel's counters; whether to count if it
--       is full
-- Returns for each message: whether it was put or given, and the keys of messages that were found
-- to have expired; or what went wrong with it.

local prefix, expiry, global = ARGV[1], ARGV[2], ARGV[3]
local list_expiry = string.format('%.0f', tonumber(expiry) + 1000)
local OWN = 5
local all_sent, all_full = 0, 0
local sent, full = {}, {}

local function put(number)
  local at = 4 + (number - 1) * OWN
  local list, body, capacity, stem = KEYS[number], ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 3]
  local dead = {}
  local length = call('LLEN', list)
  if length >= capacity then
    trim(list, dead)
    length = call('LLEN', list)
    if length >= capacity then
      if ARGV[at + 4] == '1' then
        full[stem] = (full[stem] or 0) + 1
        all_full = all_full + 1
      end
      return { 0, dead }
    end
  end
  local digits = ticks .. ARGV[at + 2]
  local queue = string.sub(list, #prefix + 1)
  if length > 0 or not hand_over(prefix, queue, digits, expiry, body) then
    local key = prefix .. digits
    call('SET', key, body, 'PX', expiry)
    call('RPUSH', list, key)
    if length == 0 then
      close_bids(prefix, queue)
    end
    call('PEXPIRE', list, list_expiry)
  end
  sent[stem] = (sent[stem] or 0) + 1
  all_sent = all_sent + 1
  return { 1, dead }
end

local results = {}
for number = 1, #KEYS do
  local done, result = pcall(put, number)
  if not done then
    -- An error of one message is not one of the others.
    if type(result) ~= 'table' then
      -- Before Redis 7 it is a text with a position before the code.
      result = { err = string.match(tostring(result), '%u%u+ .*') or 'ERR ' .. tostring(result) }
    end
  end
  results[number] = result
end
for stem, number in pairs(sent) do
  count(stem, 3600, 'messages_count', number)
end
for stem, number in pairs(full) do
  count(stem, 3600, 'channel_full_count', number)
end
if all_sent > 0 then
  count(global, 86400, 'messages_count', all_sent)
end
if all_full > 0 then
  count(global, 86400, 'channel_full_count', all_full)
end
return results
