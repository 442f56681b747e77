-- KEYS[1] stream, KEYS[2] set after a look that found nothing; ARGV[1] group, ARGV[2] consumer, ARGV[3] lease in ms,
-- ARGV[4] most entries to take, ARGV[5] ms from such a look to the next.
-- Takes entries whose lease has ended, those delivered least often first. What was delivered n times comes in lots of
-- at most max(1, 500 >> 3(n - 1)): an entry that kills its worker is soon alone, and drags no healthy ones along.
-- Returns {} or {times delivered before, {{id, fields}, ...}}.
if redis.call('EXISTS', KEYS[2]) == 1 then return {} end
local lost = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', 1000)
if #lost == 0 then
  redis.call('SET', KEYS[2], '', 'PX', ARGV[5])
  return {}
end
local least = lost[1][4]
for _, row in ipairs(lost) do least = math.min(least, row[4]) end
local most = math.max(1, math.floor(500 / 8 ^ math.max(least - 1, 0)))
most = math.min(most, tonumber(ARGV[4]))
local ids = {}
for _, row in ipairs(lost) do
  if row[4] == least and #ids < most then ids[#ids + 1] = row[1] end
end
local entries, alive = {}, {}
for _, entry in ipairs(redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], unpack(ids))) do
  if entry then
    entries[#entries + 1] = entry
    alive[entry[1]] = true
  end
end
for _, id in ipairs(ids) do  -- deleted while it was pending: nothing is left to deliver
  if not alive[id] then redis.call('XACK', KEYS[1], ARGV[1], id) end
end
return {least, entries}
