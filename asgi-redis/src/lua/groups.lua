-- What the scripts about groups share, after what all share.

-- How many values one call takes.
local MAX_VALUES = 1000

local function in_pieces(values, ...)
  for from = 1, #values, MAX_VALUES do
    local to = math.min(from + MAX_VALUES - 1, #values)
    local command = { ... }
    for at = from, to do
      command[#command + 1] = values[at]
    end
    call(unpack(command))
  end
end

-- The members of a group whose memberships have not expired. If `expired` is what the keys of expired
-- channels begin with, also those who are none any more because a message expired on them after they
-- were added. Nothing is written yet: a server without memory refuses what comes after.
local function members_of(group, expiry, expired, digits)
  local oldest = string.format('(%.6f', now - tonumber(expiry) / 1000)
  if not expired then
    return call('ZRANGEBYSCORE', group, oldest, '+inf'), {}
  end
  local with_scores = call('ZRANGEBYSCORE', group, oldest, '+inf', 'WITHSCORES')
  local members, gone, expiries = {}, {}, {}
  for at = 1, #with_scores, 2 do
    local member = with_scores[at]
    local mark = string.find(member, '!', 1, true)
    local queue = mark and string.sub(member, 1, mark) or member
    local known = expiries[queue]
    if known == nil then
      known = expired .. queue
      known = call('EXISTS', known) == 1 and known
      expiries[queue] = known
    end
    local time = known and call('HGET', known, string.sub(redis.sha1hex(member), 1, digits))
    if time and tonumber(with_scores[at + 1]) < tonumber(time) then
      gone[#gone + 1] = member
    else
      members[#members + 1] = member
    end
  end
  return members, gone
end

local function forget(group, expiry, gone)
  prune(group, expiry)
  in_pieces(gone, 'ZREM', group)
end

-- What comes before a text of less than 256 bytes in MessagePack.
local function text_head(value)
  if #value < 32 then
    return string.char(160 + #value)
  end
  return string.char(217, #value)
end

-- Whether a queue gets nothing because its channels may not be members any more: if `pass_over` is
-- 1, because expired messages are found now, which end up in `dead`; if it is 2, also because any
-- expired before.
local function is_passed_over(list, queue, pass_over, expired, dead)
  trim(list, dead)
  return pass_over > 0 and #dead > 0
    or pass_over > 1 and call('EXISTS', expired .. queue) == 1
end

-- Puts bodies on a queue, as many as it has room for; `body(number)` returns each with the end of its
-- key and for how many members it is. Returns for how many members there was room, and for how many
-- not.
local function put(prefix, queue, expiry, capacity, bodies, body)
  local list = prefix .. queue
  local length = call('LLEN', list)
  local room = capacity - length
  local references, delivered, full = {}, 0, 0
  for number = 1, bodies do
    local content, tail, members = body(number)
    if #references >= room then
      full = full + members
    else
      local digits = ticks .. tail
      local is_empty = length == 0 and #references == 0
      if not (is_empty and hand_over(prefix, queue, digits, expiry, content)) then
        local key = prefix .. digits
        call('SET', key, content, 'PX', expiry)
        references[#references + 1] = key
      end
      delivered = delivered + members
    end
  end
  if #references > 0 then
    in_pieces(references, 'RPUSH', list)
    call('PEXPIRE', list, string.format('%.0f', tonumber(expiry) + 1000))
    close_bids(prefix, queue)
  end
  return delivered, full
end

-- Counts what was delivered and what not; for one queue, or for all of them.
local function count_all(stem, lifetime, delivered, full)
  if delivered > 0 then
    count(stem, lifetime, 'messages_count', delivered)
  end
  if full > 0 then
    count(stem, lifetime, 'channel_full_count', full)
  end
end
