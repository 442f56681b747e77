-- KEYS[1] sorted set of what waits for its time, KEYS[2] stream; ARGV: now in ms, most to move, field of the message.
-- Moves what is due in one step, so that a kill neither loses nor doubles a message. Returns how many were moved.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, message in ipairs(due) do
  redis.call('XADD', KEYS[2], '*', ARGV[3], message)
  redis.call('ZREM', KEYS[1], message)
end
return #due
