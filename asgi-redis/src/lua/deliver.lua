-- Puts a message for a group on the channels of its members, except on those that are full.
--
-- KEYS  the lists of the queues
-- ARGV  prefix; expiry in ms; begin of the global counters; which queues to pass over: 1 for those
--       on which expired messages are found now, 2 for those on which any expired before, too; the
--       body for channels that need no name in it; the body for others, up to the name; begin of
--       the keys of expired channels; begin of the keys of readers of envelopes. Then for each
--       queue: capacity; begin of its counters; whether to count members it is full for; whether
--       it gets envelopes; how many bodies it gets. And for each of those: what its body is
--       ("plain", "named" or "whole"), the name or the body, the end of its key, how many members
--       it is for.
-- Returns for each queue: how many members it was delivered to, or -1 if it was passed over, or -2
-- if its process does not read envelopes; how many it was full for; the keys of messages that
-- were found to have expired.

local prefix, expiry, global = ARGV[1], ARGV[2], ARGV[3]
local list_expiry = string.format('%.0f', tonumber(expiry) + 1000)
local MAX_PUSHED = 1000

-- The message's last value is a text: its head, by its length, and itself.
local function text(value)
  if #value < 32 then
    return string.char(160 + #value) .. value
  end
  return string.char(217, #value) .. value
end

local function push(list, references)
  for from = 1, #references, MAX_PUSHED do
    local to = math.min(from + MAX_PUSHED - 1, #references)
    call('RPUSH', list, unpack(references, from, to))
  end
end

local result = {}
local all_delivered, all_full = 0, 0
local pass_over = tonumber(ARGV[4])
local at = 9
for number, list in ipairs(KEYS) do
  local capacity, stem, bodies = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 4])
  local count_full = ARGV[at + 2] == '1'
  local envelopes = ARGV[at + 3] == '1'
  at = at + 5
  local queue = string.sub(list, #prefix + 1)
  local dead, references = {}, {}
  local delivered, full = 0, 0
  trim(list, dead)
  if
    (pass_over > 0 and #dead > 0)
    or (pass_over > 1 and call('EXISTS', ARGV[7] .. queue) == 1)
  then
    delivered = -1
    at = at + 4 * bodies
  elseif envelopes and call('EXISTS', ARGV[8] .. queue) == 0 then
    delivered = -2
    at = at + 4 * bodies
  else
    local length = call('LLEN', list)
    local room = capacity - length
    for _ = 1, bodies do
      local members = tonumber(ARGV[at + 3])
      if #references < room then
        local kind, value = ARGV[at], ARGV[at + 1]
        local body = value
        if kind == 'plain' then
          body = ARGV[5]
        elseif kind == 'named' then
          body = ARGV[6] .. text(value)
        end
        local digits = ticks .. ARGV[at + 2]
        local empty = length == 0 and #references == 0
        if not (empty and hand_over(prefix, queue, digits, expiry, body)) then
          local key = prefix .. digits
          call('SET', key, body, 'PX', expiry)
          references[#references + 1] = key
        end
        delivered = delivered + members
      else
        full = full + members
      end
      at = at + 4
    end
    if #references > 0 then
      push(list, references)
      call('PEXPIRE', list, list_expiry)
      close_bids(prefix, queue)
    end
    if delivered > 0 then
      count(stem, 3600, 'messages_count', delivered)
      all_delivered = all_delivered + delivered
    end
    if full > 0 and count_full then
      count(stem, 3600, 'channel_full_count', full)
      all_full = all_full + full
    end
  end
  result[number] = { delivered, full, dead }
end
if all_delivered > 0 then
  count(global, 86400, 'messages_count', all_delivered)
end
if all_full > 0 then
  count(global, 86400, 'channel_full_count', all_full)
end
return result
