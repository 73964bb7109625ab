-- KEYS[2] is the counter of versions; then for every change the key of the value and that of the lease.
-- ARGV from 3: for every change value, ttl in ms (0 none), version it must have (0 any), what to do, token (empty none).
-- A value is kept as "version expires value", expires in ms (0 never).
local changes = (#KEYS - 2) / 2
for i = 1, changes do
  local key, lease, a = KEYS[2 * i + 1], KEYS[2 * i + 2], 5 * i - 2
  local version, what, token = ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  if token ~= '' and redis.call('HGET', lease, 'token') ~= token then return answer('fenced ' .. i) end
  local current = string.match(redis.call('GETRANGE', key, 0, 63), '^(%d+) ')
  if what == 'create' and current then return answer('conflict ' .. i) end
  if what == 'delete' and not current then return answer('missing ' .. i) end
  if version ~= '0' and current ~= version then return answer('conflict ' .. i) end
end
local last, outcome = tonumber(redis.call('GET', KEYS[2]) or '0'), 'ok'
for i = 1, changes do
  local key, a = KEYS[2 * i + 1], 5 * i - 2
  local ttl, what = tonumber(ARGV[a + 1]), ARGV[a + 3]
  if what == 'remove' or what == 'delete' then
    redis.call('DEL', key)
    outcome = outcome .. ' 0'
  else
    -- Time makes versions grow even where the server has lost what it knew.
    last = math.max(last + 1, now)
    local expires = '0'
    if ttl > 0 then expires = text(math.floor(now / 1000) + ttl) end
    redis.call('SET', key, text(last) .. ' ' .. expires .. ' ' .. ARGV[a])
    if ttl > 0 then redis.call('PEXPIREAT', key, expires) end
    outcome = outcome .. ' ' .. text(last)
  end
end
redis.call('SET', KEYS[2], text(last))
return done(outcome)
