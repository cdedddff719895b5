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
local pass_over, expired = tonumber(ARGV[4]), ARGV[7]
local result = {}
local all_delivered, all_full = 0, 0
local at = 9

local function body(number)
  local first = at + 4 * (number - 1)
  local kind, content = ARGV[first], ARGV[first + 1]
  if kind == 'plain' then
    content = ARGV[5]
  elseif kind == 'named' then
    content = ARGV[6] .. text_head(content) .. content
  end
  return content, ARGV[first + 2], tonumber(ARGV[first + 3])
end

for number, list in ipairs(KEYS) do
  local capacity, stem, bodies = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 4])
  local counts_full, envelopes = ARGV[at + 2] == '1', ARGV[at + 3] == '1'
  at = at + 5
  local queue = string.sub(list, #prefix + 1)
  local dead, delivered, full = {}, 0, 0
  if is_passed_over(list, queue, pass_over, expired, dead) then
    delivered = -1
  elseif envelopes and call('EXISTS', ARGV[8] .. queue) == 0 then
    delivered = -2
  else
    delivered, full = put(prefix, queue, expiry, capacity, bodies, body)
    local counted = counts_full and full or 0
    count_all(stem, 3600, delivered, counted)
    all_delivered, all_full = all_delivered + delivered, all_full + counted
  end
  at = at + 4 * bodies
  result[number] = { delivered, full, dead }
end
count_all(global, 86400, all_delivered, all_full)
return result
