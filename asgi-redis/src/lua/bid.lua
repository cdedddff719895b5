-- Says how many messages of which channels a process takes at once, while it waits. Of the ordered
-- ones only those on which nothing is stored: the read that follows would take it at once, and
-- leave the bids open.
--
-- ARGV  prefix; for how long, in ms; for each bid: its name, how many messages, how many queues,
--       and those

local prefix, life = ARGV[1], ARGV[2]
local at = 3
while at <= #ARGV do
  local bid, queues = ARGV[at], tonumber(ARGV[at + 2])
  call('SET', prefix .. ':bid:' .. bid, ARGV[at + 1], 'PX', life)
  for number = at + 3, at + 2 + queues do
    local queue = ARGV[number]
    if not is_ordered(queue) or call('EXISTS', prefix .. queue) == 0 then
      local bids = prefix .. ':bids:' .. queue
      call('SADD', bids, bid)
      call('PEXPIRE', bids, life)
    end
  end
  at = at + 3 + queues
end
