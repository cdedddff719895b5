-- Puts a message for a group on the channels of its members, which are all on this server, except on
-- those that are full.
--
-- KEYS  the set of the group
-- ARGV  prefix; expiry in ms; begin of all counters; begin of the global ones; which queues to pass
--       over, as in deliver.lua; the body for channels that need no name in it; the body for
--       others, up to the name; begin of the keys of expired channels; begin of the keys of readers
--       of envelopes; group expiry in ms; how many members at most; whether to look which of them
--       had messages expire; of the keys of bodies: what is between time and form, how many digits
--       stand for a channel, a number, and the end; the capacity of queues, or nothing if they
--       differ; then for each queue of which it is known: its name and capacity.
-- Returns nothing if there are too many members. Otherwise the members who got nothing yet, because
-- their capacity is not known or their names are not usual; and for each queue: its name, and the
-- same as deliver.lua.

local group = KEYS[1]
local prefix, expiry, counters, global = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local pass_over, plain, named = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local expired, readers, group_expiry = ARGV[8], ARGV[9], ARGV[10]
local begin, digits, unique, ending = ARGV[13], tonumber(ARGV[14]), tonumber(ARGV[15]), ARGV[16]

if call('ZCARD', group) > tonumber(ARGV[11]) then
  return false
end

local default, capacities = tonumber(ARGV[17]), {}
for at = 18, #ARGV, 2 do
  capacities[ARGV[at]] = tonumber(ARGV[at + 1])
end

-- A name up to its `!`, and the rest. Nothing if it is not a name without doubt; others are for the
-- client to judge.
local match = string.match
local function parts_of(member)
  if #member > 199 then
    return nil
  end
  local queue, rest = match(member, '^([%w._-]+!)([%w._-]*)$')
  if queue then
    return queue, rest
  end
  return match(member, '^[%w._-]+%??[%w._-]*$'), ''
end

local members, gone = members_of(group, group_expiry, ARGV[12] == '1' and expired, digits)
local left, queues, by_queue = {}, {}, {}
for number = 1, #members do
  local queue, rest = parts_of(members[number])
  local there = by_queue[queue or '']
  if there then
    there[#there + 1] = rest
  elseif queue and (capacities[queue] or default) then
    by_queue[queue] = { rest }
    queues[#queues + 1] = queue
  else
    left[#left + 1] = members[number]
  end
end

-- A number of two bytes.
local function short(number)
  return string.char(math.floor(number / 256), number % 256)
end

-- The body for all members on one process: a map in MessagePack.
local function envelope(there)
  local size, heads = #plain, {}
  local pieces = {
    '\130\167message\198' .. short(math.floor(size / 65536)) .. short(size % 65536),
    plain,
    '\166locals\220' .. short(#there),
  }
  for number = 1, #there do
    local rest = there[number]
    local head = heads[#rest]
    if not head then
      head = text_head(rest)
      heads[#rest] = head
    end
    pieces[2 * number + 2] = head
    pieces[2 * number + 3] = rest
  end
  return table.concat(pieces)
end

-- The end of a body's key, of which no two are alike.
local function tail(form, channel)
  unique = (unique + 1) % 65536
  return begin .. form .. string.sub(redis.sha1hex(channel), 1, digits)
    .. string.format('%04x', unique) .. ending
end

local results = {}
local all_delivered, all_full = 0, 0
for _, queue in ipairs(queues) do
  local there, dead = by_queue[queue], {}
  local delivered, full = 0, 0
  if is_passed_over(prefix .. queue, queue, pass_over, expired, dead) then
    delivered = -1
  else
    local capacity = capacities[queue] or default
    local is_specific = string.sub(queue, -1) == '!'
    if #there > 1 and call('EXISTS', readers .. queue) == 1 then
      delivered, full = put(prefix, queue, expiry, capacity, 1, function()
        return envelope(there), tail('e', queue), #there
      end)
    else
      delivered, full = put(prefix, queue, expiry, capacity, #there, function(number)
        local member = queue .. there[number]
        local content = is_specific and named .. text_head(member) .. member or plain
        return content, tail('0', member), 1
      end)
    end
    count_all(counters .. queue .. ':', 3600, delivered, full)
    all_delivered, all_full = all_delivered + delivered, all_full + full
  end
  results[#results + 1] = { queue, delivered, full, dead }
end
count_all(global, 86400, all_delivered, all_full)
forget(group, group_expiry, gone)
return { left, results }
