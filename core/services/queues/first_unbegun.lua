-- KEYS[1] stream, ARGV[1] group. Returns {{id}} of the oldest entry that was never delivered, or {}.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return {} end  -- there is no stream yet
local start = '-'
for _, group in ipairs(groups) do
  local facts = {}
  for place = 1, #group, 2 do facts[group[place]] = group[place + 1] end
  if facts['name'] == ARGV[1] then start = '(' .. facts['last-delivered-id'] end
end
local first = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 1)[1]
return first and {{first[1]}} or {}
