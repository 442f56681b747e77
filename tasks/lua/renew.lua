-- KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, then entry ids in rising order.
-- Starts the lease of those anew that this consumer still owns. A plain XCLAIM would steal back what another one has
-- been given since. Returns how many are still owned.
local wanted = {}
for i = 3, #ARGV do wanted[ARGV[i]] = true end
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[#ARGV], 100000, ARGV[2])
local ids = {}
for _, row in ipairs(owned) do
  if wanted[row[1]] then ids[#ids + 1] = row[1] end
end
if #ids > 0 then
  ids[#ids + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ids))
end
return math.max(#ids - 1, 0)
