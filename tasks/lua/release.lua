-- KEYS[1] stream, KEYS[2] set after a look that found nothing; ARGV[1] group, ARGV[2] consumer, ARGV[3] deliveries to
-- charge, ARGV[4] idle time in ms that makes an entry free to take, then entry ids in rising order. Gives back what this
-- consumer owns, at once and uncharged: a process that stops in order is no reason to suspect what it held.
-- Returns how many were given back.
local wanted = {}
for i = 5, #ARGV do wanted[ARGV[i]] = true end
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[5], ARGV[#ARGV], 100000, ARGV[2])
local given = 0
for _, row in ipairs(owned) do
  if wanted[row[1]] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1], 'IDLE', ARGV[4], 'RETRYCOUNT', ARGV[3], 'JUSTID')
    given = given + 1
  end
end
if given > 0 then redis.call('DEL', KEYS[2]) end
return given
