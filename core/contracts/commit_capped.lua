-- Clicks of links with a click cap: counted, added to the stream, and told what they are answered, in one step.
-- KEYS[1] stream of clicks, KEYS[2] hash of accepted clicks by hour, KEYS[3] hash of people counted by link, then for
-- each click the key that remembers it. ARGV[1] seconds that such a key lives, then six a click: hour, link, cap, who
-- ("person"; "robot", who never counts; "led", a person who was redirected while nobody could count), the click as
-- redirected, the click as capped. A missing count is 0.
-- Returns a number a click: 0 the cap is reached, 1 led to the destination, 2 led beyond the cap.
-- A click that counted and comes again is neither counted nor added. Those that did not count are not remembered: there
-- is no end to them, and added twice they are stored once.
local verdicts, accepted = {}, {}
for i = 4, #KEYS do
  local at = (i - 4) * 6 + 2
  local hour, link, cap, who = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local verdict, click = 1, ARGV[at + 4]
  if who == 'robot' or redis.call('EXISTS', KEYS[i]) == 0 then
    local is_full = tonumber(redis.call('HGET', KEYS[3], link) or 0) >= cap
    if is_full and who == 'led' then
      verdict = 2
    elseif is_full then
      verdict, click = 0, ARGV[at + 5]
    end
    redis.call('XADD', KEYS[1], '*', 'e', click)
    if verdict > 0 and who ~= 'robot' then
      redis.call('HINCRBY', KEYS[3], link, 1)
      redis.call('SET', KEYS[i], '', 'EX', ARGV[1])
    end
    accepted[hour] = (accepted[hour] or 0) + 1
  end
  verdicts[#verdicts + 1] = verdict
end
for hour, clicks in pairs(accepted) do
  redis.call('HINCRBY', KEYS[2], hour, clicks)
end
return verdicts
