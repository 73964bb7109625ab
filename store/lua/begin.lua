-- Begins every script that writes. KEYS[1] is the key of this operation, ARGV[1] the time in microseconds after which
-- nobody waits for it any more, ARGV[2] how many milliseconds its outcome is remembered. Answers are the outcome and
-- the server's time. A double holds microseconds exactly until the year 2255.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local function text(number) return string.format('%.0f', number) end
local function answer(outcome) return {outcome, text(now)} end
local function done(outcome)
  redis.call('SET', KEYS[1], outcome, 'PX', ARGV[2])
  return answer(outcome)
end
local before = redis.call('GET', KEYS[1])
if before then return answer(before) end
if now > tonumber(ARGV[1]) then return answer('late') end
