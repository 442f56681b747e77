-- KEYS[1] stream; ARGV[1] group, ARGV[2] consumer. Removes the consumer's name where it holds nothing: with its name
-- go its pending entries, so a name that still holds some must stay until they were taken over. Returns 1 or 0.
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
