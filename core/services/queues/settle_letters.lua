-- KEYS: dead letters, stream, index, groups, what they are about, dead clicks by hour, trials;
-- ARGV: "retry", "try" or "discard", field of the payload, how long a trial is remembered in s, then ids of letters.
-- A letter is taken out and (unless discarded) its payload put back in one step: whoever comes second finds nothing.
-- Returns the ids of those that were there: of the new entries, or of the letters discarded.
local done = {}
for place = 4, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[place], ARGV[place])[1]
  local fields = {}
  for at = 1, found and #found[2] or 0, 2 do fields[found[2][at]] = found[2][at + 1] end
  local payload = fields[ARGV[2]]
  if found and (payload or ARGV[1] == 'discard') then
    local group, entry = fields.group or fields.reason or 'unknown', found[1]
    if ARGV[1] ~= 'discard' then
      entry = redis.call('XADD', KEYS[2], '*', ARGV[2], payload)
      if fields.hour then redis.call('HINCRBY', KEYS[6], fields.hour, -1) end
    end
    if ARGV[1] == 'try' then
      redis.call('HSET', KEYS[7], 'try:' .. group, entry .. ' ' .. (fields.task_id or ''), 'of:' .. entry, group)
      redis.call('HDEL', KEYS[7], 'failed:' .. group)
      redis.call('EXPIRE', KEYS[7], ARGV[3])
    end
    redis.call('XDEL', KEYS[1], found[1])
    redis.call('ZREM', KEYS[3], group .. ' ' .. found[1])
    if redis.call('ZLEXCOUNT', KEYS[3], '[' .. group .. ' ', '(' .. group .. '!') == 0 then
      redis.call('ZREM', KEYS[4], group)
      redis.call('HDEL', KEYS[5], group)
    end
    done[#done + 1] = entry
  end
end
return done
