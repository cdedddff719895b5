-- Takes messages off the heads of channels, one from each in turn.
--
-- KEYS  the lists of the queues
-- ARGV  how many messages at most; how many of those even if the others who read these channels
--       get less; how many bytes may come before the last; the key of a message whose
--       reference was taken already, or nothing, and the number of its list. If bids are to be
--       withdrawn: the channel to tell it on, what to tell, the keys of the bids
-- Returns whether there is more; number of the list and key for each message that was found to
-- have expired; number of the list, key, body and remaining life in ms for each message; whether the
-- withdrawal is heard; number of the list and key of a message that cannot be read now, because its
-- slot is on the way to another node.

local limit, least = tonumber(ARGV[1]), tonumber(ARGV[2])
if limit > least then
  local there = ARGV[4] ~= '' and 1 or 0
  for _, list in ipairs(KEYS) do
    local length = redis.pcall('LLEN', list)
    there = there + (type(length) == 'number' and length or 0)
  end
  limit = math.min(limit, math.max(least, math.floor(there / 2)))
end
local room = tonumber(ARGV[3])
local dead, taken, stuck, messages = {}, {}, {}, 0

local function fetch(number, key)
  local body = redis.pcall('GET', key)
  if type(body) == 'table' and not string.find(body.err, 'WRONGTYPE', 1, true) then
    stuck = { number, key }
    return
  end
  if type(body) == 'table' then
    -- A key of another type, which is nobody's message: an error here would lose what was taken
    -- before. No message is empty, so the receiver finds out and counts it; the key stays.
    local at = #taken
    taken[at + 1] = number
    taken[at + 2] = key
    taken[at + 3] = ''
    taken[at + 4] = 1
    messages = messages + 1
    return
  end
  if not body then
    dead[#dead + 1] = number
    dead[#dead + 1] = key
    return
  end
  local at = #taken
  taken[at + 1] = number
  taken[at + 2] = key
  taken[at + 3] = body
  taken[at + 4] = call('PTTL', key)
  call('DEL', key)
  messages = messages + 1
  room = room - #body
end

if ARGV[4] ~= '' then
  fetch(tonumber(ARGV[5]), ARGV[4])
end

local open = {}
for number = 1, #KEYS do
  open[number] = number
end
while #open > 0 and #stuck == 0 and messages < limit and room > 0 and #dead < 2 * MAX_DEAD do
  local still_open = {}
  for _, number in ipairs(open) do
    if messages >= limit or room <= 0 or #stuck > 0 then
      break
    end
    -- No message for a key of another type: an error would lose what was taken before.
    local key = redis.pcall('LPOP', KEYS[number])
    if type(key) == 'string' then
      fetch(number, key)
      still_open[#still_open + 1] = number
    end
  end
  open = still_open
end

local more = 0
for _, number in ipairs(open) do
  if call('EXISTS', KEYS[number]) == 1 then
    more = 1
    break
  end
end
local heard = ARGV[6] and withdraw(ARGV[6], ARGV[7], 8) or 0
return { more, dead, taken, heard, stuck }
