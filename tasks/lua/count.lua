-- Put in front of the scripts that settle entries: adds to the minute's counts, in the step that settles.
-- `stats` is the hash of the minute, `ttl` in seconds, `ms` what the calls took that led here.
local function count(stats, ttl, queue, fate, number, ms)
  redis.call('HINCRBY', stats, queue .. ':' .. fate, number)
  if tonumber(ms) > 0 then redis.call('HINCRBY', stats, queue .. ':ms', ms) end
  redis.call('EXPIRE', stats, ttl)
end
