-- KEYS[1] suspects; ARGV[1] entry. Takes one charge back, and leaves no line behind that charges nothing. Returns what is
-- still charged.
local left = redis.call('HINCRBY', KEYS[1], ARGV[1], -1)
if left <= 0 then redis.call('HDEL', KEYS[1], ARGV[1]) end
return left
