-- KEYS[1] tries of one address at a link in a minute, KEYS[2] tries of all; ARGV[1], ARGV[2] how many each may be,
-- ARGV[3] seconds that they are kept. Returns 1 when this try may be made, else 0. A try that its own address may not
-- make is not counted for all: one address alone can not use up the link's.
local function count(key)
  local tries = redis.call('INCR', key)
  if tries == 1 then
    redis.call('EXPIRE', key, ARGV[3])
  end
  return tries
end
if count(KEYS[1]) > tonumber(ARGV[1]) or count(KEYS[2]) > tonumber(ARGV[2]) then
  return 0
end
return 1
