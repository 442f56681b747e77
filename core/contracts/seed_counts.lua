-- KEYS[1] hash of people counted by link; ARGV pairs (link, people). Raises counts, lowers none: trackers go on counting
-- while PostgreSQL is asked, and it does not know yet what lies in the stream.
for i = 1, #ARGV, 2 do
  local held = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or -1)
  if held < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
