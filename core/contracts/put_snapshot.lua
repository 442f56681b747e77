-- KEYS[1] snapshot key; ARGV[1] framed snapshot (8 bytes of revision first); ARGV[2] channel of changes.
-- Keeps the higher revision. Returns 1 when written, 0 when Redis held a newer one.
local held = redis.call('GETRANGE', KEYS[1], 0, 7)
if held ~= '' and held > string.sub(ARGV[1], 1, 8) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], KEYS[1])
return 1
