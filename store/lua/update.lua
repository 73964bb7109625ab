-- KEYS from 2: the counter of versions, the index, its expiries, what is known of it; then for every change the key of
-- the value and that of the lease.
-- ARGV from 3: for every change value, ttl in ms (0 none), version it must have (0 any), what to do, token (empty none).
-- A value is kept as "version expires value", expires in ms (0 never). See index.lua for the index.
local counter, index, expiries, known = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local changes = (#KEYS - 5) / 2
for i = 1, changes do
  local key, lease, a = KEYS[2 * i + 4], KEYS[2 * i + 5], 5 * i - 2
  local version, what, token = ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  if token ~= '' and redis.call('HGET', lease, 'token') ~= token then return answer('fenced ' .. i) end
  local current = string.match(redis.call('GETRANGE', key, 0, 63), '^(%d+) ')
  if what == 'create' and current then return answer('conflict ' .. i) end
  if what == 'delete' and not current then return answer('missing ' .. i) end
  if version ~= '0' and current ~= version then return answer('conflict ' .. i) end
end
local before = redis.call('GET', counter) or '0'
local last, outcome = tonumber(before), 'ok'
for i = 1, changes do
  local key, a = KEYS[2 * i + 4], 5 * i - 2
  local ttl, what = tonumber(ARGV[a + 1]), ARGV[a + 3]
  if what == 'remove' or what == 'delete' then
    redis.call('DEL', key)
    redis.call('ZREM', index, key)
    redis.call('ZREM', expiries, key)
    outcome = outcome .. ' 0'
  else
    -- Time makes versions grow even where the server has lost what it knew.
    last = math.max(last + 1, now)
    local expires = '0'
    if ttl > 0 then expires = text(math.floor(now / 1000) + ttl) end
    redis.call('SET', key, text(last) .. ' ' .. expires .. ' ' .. ARGV[a])
    redis.call('ZADD', index, 0, key)
    if ttl > 0 then
      redis.call('PEXPIREAT', key, expires)
      redis.call('ZADD', expiries, expires, key)
    else
      redis.call('ZREM', expiries, key)
    end
    outcome = outcome .. ' ' .. text(last)
  end
end
-- A few of the keys that have expired leave the index. The second's grace is for servers whose clock stands still while a
-- script runs, but for TIME.
for _, key in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', text(math.floor(now / 1000) - 1000), 'LIMIT', 0, 32)) do
  local left = redis.call('PTTL', key)
  if left >= 0 then -- the clock was set back, or an older tgtrunk has written it
    redis.call('ZADD', expiries, text(math.floor(now / 1000) + left), key)
  else
    redis.call('ZREM', expiries, key)
    if left == -2 then redis.call('ZREM', index, key) end
  end
end
redis.call('SET', counter, text(last))
if redis.call('HGET', known, 'upto') == before then redis.call('HSET', known, 'upto', text(last)) end
return done(outcome)
