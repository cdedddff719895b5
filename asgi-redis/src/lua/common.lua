-- What several scripts share; the text of each of those begins with this one.

local call = redis.call
local clock = call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

-- The variable part of a body's key begins with the time, in sixteenths of a second.
local ticks = string.format('%09x', math.floor(now * 16))

-- Dead heads looked at in one call; what is left is left to the next call.
local MAX_DEAD = 500

-- Counts messages, in all and in this second, for the channel and for all channels. Lifetimes are
-- renewed with the first of a second.
local function count(stem, lifetime, what, by)
  call('INCRBY', stem .. what, by)
  local rate = stem .. what .. '_per_second:' .. clock[1]
  if call('INCRBY', rate, by) == by then
    call('EXPIRE', rate, 3)
    call('EXPIRE', stem .. what, lifetime)
  end
end

-- Takes references off the head of a list whose messages expired, so that only messages that
-- can still be received count.
local function trim(list, dead)
  for _ = 1, MAX_DEAD do
    local key = call('LINDEX', list, 0)
    if not key or call('EXISTS', key) == 1 then
      return
    end
    call('LPOP', list)
    dead[#dead + 1] = key
  end
end

-- Forgets memberships that expired; returns how many.
local function prune(group, expiry)
  local oldest = string.format('%.6f', now - tonumber(expiry) / 1000)
  return call('ZREMRANGEBYSCORE', group, '-inf', oldest)
end

-- Messages larger than this, in bytes, are always stored: the server closes connections to which
-- it has too much to say.
local MAX_HANDED_OVER = 65536

-- Gives a message to a process that waits for it, without storing it; returns whether there was
-- one. Only for an empty queue: what is stored comes first.
local function hand_over(prefix, queue, digits, life, body)
  if #body > MAX_HANDED_OVER then
    return false
  end
  local bids = prefix .. ':bids:' .. queue
  for _ = 1, 3 do
    local bid = call('SRANDMEMBER', bids)
    if not bid then
      return false
    end
    local key = prefix .. ':bid:' .. bid
    local left = tonumber(call('GET', key) or -1)
    if left > 0 then
      -- First, because a server without memory refuses it.
      call('DECR', key)
      local desk, class = string.match(bid, '^(%x+)%.(%d+)')
      local text = table.concat({ class, queue, digits, life, body }, ' ')
      local heard = redis.pcall('PUBLISH', prefix .. ':desk:' .. desk, text)
      if type(heard) == 'number' and heard > 0 then
        return true
      end
      left = -1
    end
    if left < 0 then
      -- Expired, or its process is gone.
      call('DEL', key)
      call('SREM', bids, bid)
    end
  end
  return false
end

-- Whether the order of the queue's messages matters: it has one reader.
local function is_ordered(queue)
  return string.find(queue, '[!?]') ~= nil
end

-- No message for an ordered queue is given to its reader until he has taken what is stored now, and
-- bids again: his blocking read takes a reference long before he withdraws his bids.
local function close_bids(prefix, queue)
  if is_ordered(queue) then
    call('DEL', prefix .. ':bids:' .. queue)
  end
end

-- Ends the bids of a process, and tells it so, behind everything it was given; returns whether it
-- hears that.
local function withdraw(desk, mark, first)
  for at = first, #ARGV do
    call('DEL', ARGV[at])
  end
  local heard = redis.pcall('PUBLISH', desk, mark)
  return type(heard) == 'number' and heard or 0
end
