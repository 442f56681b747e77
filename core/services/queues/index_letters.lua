-- KEYS: dead letters, last letter read, index, groups, what they are about, dead clicks (or postbacks) by hour, trials;
-- ARGV[1]: most to read. Puts letters that came since the last call into the index, each once. Returns how many.
local after = redis.call('GET', KEYS[2])
local letters = redis.call('XRANGE', KEYS[1], after and '(' .. after or '-', '+', 'COUNT', ARGV[1])
for _, letter in ipairs(letters) do
  local id, fields = letter[1], {}
  for place = 1, #letter[2], 2 do fields[letter[2][place]] = letter[2][place + 1] end
  local group = fields.group or fields.reason or 'unknown'
  redis.call('ZADD', KEYS[3], 0, group .. ' ' .. id)
  redis.call('ZADD', KEYS[4], string.match(id, '%d+'), group)
  local about = {reason = fields.reason or '', task = fields.task or '', error = string.sub(fields.error or '', 1, 400)}
  redis.call('HSET', KEYS[5], group, cjson.encode(about))
  if fields.hour then redis.call('HINCRBY', KEYS[6], fields.hour, 1) end
  local tried = redis.call('HGET', KEYS[7], 'of:' .. (fields.entry or ''))
  if tried then redis.call('HSET', KEYS[7], 'failed:' .. tried, id) end
  redis.call('SET', KEYS[2], id)
end
return #letters
