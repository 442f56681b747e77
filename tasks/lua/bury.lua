-- KEYS[1] stream, KEYS[2] counts of the minute, KEYS[3] dead letters, KEYS[4] suspects; ARGV: group, consumer, queue,
-- ms of run time, seconds that counts are kept, entry id, oldest dead letter to keep in ms, then field and value of
-- the dead letter, in pairs. One step: an entry is either in the stream or buried.
-- Returns 1, or 0 when another consumer owns the entry by now.
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[6], ARGV[6], 1, ARGV[2])
if #owned == 0 then return 0 end
redis.call('XADD', KEYS[3], 'MINID', '~', ARGV[7], '*', unpack(ARGV, 8))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[6])
redis.call('XDEL', KEYS[1], ARGV[6])
redis.call('HDEL', KEYS[4], ARGV[6])
count(KEYS[2], ARGV[5], ARGV[3], 'failed', 1, ARGV[4])
return 1
