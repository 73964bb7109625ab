-- The index is a sorted set of the keys of all values, all of one score, so that it is in byte order. Every write keeps
-- it, but those of a tgtrunk from before the index, which may be at work on the same server, or was. Such a write moves
-- the counter of versions and not 'upto' of what is known of the index; so the index holds everything that was written
-- since 'from' (a name of that moment) while both are the same, and everything there is when 'whole' is that 'from'. The
-- empty member says that the index itself has not been thrown away since.
-- KEYS: the counter of versions, the index, its expiries, what is known of it. ARGV: what to do, and with what.
local counter, index, expiries, known = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local version, what = redis.call('GET', counter) or '0', ARGV[1]
local facts = redis.call('HMGET', known, 'upto', 'from', 'whole')
local unbroken = redis.call('ZSCORE', index, '') and facts[1] == version
if what == 'list' then -- from, to, at most: a page of the keys
  if not unbroken or facts[2] ~= facts[3] then return {'partial'} end
  local page = redis.call('ZRANGEBYLEX', index, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
  table.insert(page, 1, 'whole')
  return page
elseif what == 'begin' then -- a name: the index holds everything from now on, or from the moment that is returned
  if unbroken then return {facts[2]} end
  redis.call('DEL', index, expiries, known)
  redis.call('ZADD', index, 0, '')
  redis.call('HSET', known, 'upto', version, 'from', ARGV[2])
  return {ARGV[2]}
elseif what == 'add' then -- keys, as far as they are still there
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  for i = 2, #ARGV do
    local left = redis.call('PTTL', ARGV[i])
    if left ~= -2 then redis.call('ZADD', index, 0, ARGV[i]) end
    if left >= 0 then redis.call('ZADD', expiries, string.format('%.0f', now + left), ARGV[i]) end
  end
elseif unbroken and facts[2] == ARGV[2] then -- 'end', the moment: all that was there then has been added
  redis.call('HSET', known, 'whole', ARGV[2])
end
return {}
