-- KEYS[1] token of the republish that runs, KEYS[2] ready marker; ARGV[1] the token as it was set, ARGV[2] revision.
-- Sets the marker where the token still stands. Returns 1, or 0 when Redis was emptied meanwhile.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
