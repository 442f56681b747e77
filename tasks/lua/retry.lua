-- KEYS[1] stream, KEYS[2] sorted set of what waits for its time; ARGV: group, consumer, entry id, due in ms, message.
-- Puts the message aside and removes the entry in one step, so that a kill leaves exactly one of them.
-- Returns 1, or 0 when another consumer owns the entry by now.
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #owned == 0 then return 0 end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[5])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
return 1
