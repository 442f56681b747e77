-- KEYS[1] stream, KEYS[2] dead letters, KEYS[3] suspects; ARGV: group, consumer, entry id, oldest dead letter to keep
-- in ms, then field and value of the dead letter, in pairs. One step: an entry is either in the stream or buried.
-- Returns 1, or 0 when another consumer owns the entry by now.
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #owned == 0 then return 0 end
redis.call('XADD', KEYS[2], 'MINID', '~', ARGV[4], '*', unpack(ARGV, 5))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
return 1
