-- How many messages wait on channels, and how old the oldest is.
--
-- KEYS  lists of queues
-- ARGV  expiry in ms
-- Returns the number and the age in ms.

local pending, age = 0, 0
for _, list in ipairs(KEYS) do
  local length, at = call('LLEN', list), 0
  while at < length do
    local life = call('PTTL', call('LINDEX', list, at))
    -- -2 is a message that is gone; those after it are younger.
    if life ~= -2 then
      pending = pending + length - at
      if life >= 0 then
        age = math.max(age, tonumber(ARGV[1]) - life)
      end
      break
    end
    at = at + 1
  end
end
return { pending, string.format('%.0f', age) }
