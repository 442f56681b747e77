-- KEYS[1] stream of clicks (or of postbacks), KEYS[2] hash of those accepted by hour; ARGV[1] number of hours n,
-- then n pairs (hour, events), then the encoded events. Each becomes an entry of its own.
-- All or nothing for one group: a script is not interrupted. Returns the number of entries added.
local hours = tonumber(ARGV[1])
local first = 2 + hours * 2
for i = first, #ARGV do
  redis.call('XADD', KEYS[1], '*', 'e', ARGV[i])
end
for i = 2, first - 2, 2 do
  redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1])
end
return #ARGV - first + 1
