-- KEYS[1] stream, KEYS[2] stream of what is held, KEYS[3] set of paused queues; ARGV: group, queue, most to move.
-- While the queue is paused, moves what was never delivered out of the stream, so that its length is what runs; once
-- it is not, moves it back. Oldest first and in one step: a kill neither loses nor doubles an entry.
-- Returns how many were moved.
local paused = redis.call('SISMEMBER', KEYS[3], ARGV[2]) == 1
local from, to, start = KEYS[2], KEYS[1], '-'
if paused then
  from, to = KEYS[1], KEYS[2]
  local groups = redis.pcall('XINFO', 'GROUPS', from)
  if groups.err then return 0 end  -- there is no stream yet
  for _, group in ipairs(groups) do
    local facts = {}
    for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
    if facts['name'] == ARGV[1] then start = '(' .. facts['last-delivered-id'] end
  end
end
local entries = redis.call('XRANGE', from, start, '+', 'COUNT', ARGV[3])
for _, entry in ipairs(entries) do
  redis.call('XADD', to, '*', unpack(entry[2]))
  redis.call('XDEL', from, entry[1])
end
return #entries
