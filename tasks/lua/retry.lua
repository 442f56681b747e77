-- KEYS[1] stream, KEYS[2] counts of the minute, KEYS[3] sorted set of what waits for its time; ARGV: group, consumer,
-- queue, ms of run time, seconds that counts are kept, entry id, due in ms, message.
-- Puts the message aside and removes the entry in one step, so that a kill leaves exactly one of them.
-- Returns 1, or 0 when another consumer owns the entry by now.
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[6], ARGV[6], 1, ARGV[2])
if #owned == 0 then return 0 end
redis.call('ZADD', KEYS[3], ARGV[7], ARGV[8])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[6])
redis.call('XDEL', KEYS[1], ARGV[6])
count(KEYS[2], ARGV[5], ARGV[3], 'retried', 1, ARGV[4])
return 1
