-- KEYS[1] stream; ARGV[1] group, ARGV[2] consumer, then entry ids in rising order.
-- Removes those that this consumer still owns: an entry that was given to another is that one's to acknowledge.
-- Deleted too, so that the stream's length is what waits and runs. Returns how many were removed.
local ids = {unpack(ARGV, 3)}
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
return #ids
