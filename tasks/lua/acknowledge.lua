-- KEYS[1] stream, KEYS[2] counts of the minute; ARGV: group, consumer, queue, ms of run time, seconds that counts are
-- kept, then entry ids in rising order.
-- Removes those that this consumer still owns: an entry that was given to another is that one's to acknowledge.
-- Deleted too, so that the stream's length is what waits and runs. Returns how many were removed.
local ids = {unpack(ARGV, 6)}
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ids[1], ids[#ids], 100000, ARGV[2])
if #owned ~= #ids then
  local mine = {}
  for _, row in ipairs(owned) do mine[row[1]] = true end
  local kept = {}
  for _, id in ipairs(ids) do if mine[id] then kept[#kept + 1] = id end end
  ids = kept
end
if #ids == 0 then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
redis.call('XDEL', KEYS[1], unpack(ids))
count(KEYS[2], ARGV[5], ARGV[3], 'done', #ids, ARGV[4])
return #ids
