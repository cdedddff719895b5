-- Withdraws bids.
--
-- ARGV  the channel to tell it on; what to tell; the keys of the bids
-- Returns whether that is heard.

return withdraw(ARGV[1], ARGV[2], 3)
