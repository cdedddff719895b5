-- Has a bid take more messages, unless it was withdrawn.
--
-- KEYS  the bid
-- ARGV  how many more

if call('EXISTS', KEYS[1]) == 1 then
  call('INCRBY', KEYS[1], ARGV[1])
end
