-- What several scripts share; the text of each of those begins with this one.

local call = redis.call
local clock = call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

-- The variable part of a body's key begins with the time, in sixteenths of a second.
local ticks = string.format('%09x', math.floor(now * 16))

-- Dead heads looked at in one call; what is left is left to the next call.
local MAX_DEAD = 500

-- Counts messages, in all and in this second, for the channel and for all channels.
local function count(stem, lifetime, what, by)
  call('INCRBY', stem .. what, by)
  call('EXPIRE', stem .. what, lifetime)
  local rate = stem .. what .. '_per_second:' .. clock[1]
  if call('INCRBY', rate, by) == by then
    call('EXPIRE', rate, 3)
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
