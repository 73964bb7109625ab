-- KEYS[2] is the lease: a hash of token, owner and expires in microseconds, kept for ever.
-- ARGV from 3: what to do, token, owner, ttl in microseconds.
local what, token, owner, ttl = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local held = redis.call('HMGET', KEYS[2], 'token', 'owner', 'expires')
local newest, holder, expires = held[1] or '0', held[2] or '', tonumber(held[3] or '0')
if what == 'acquire' then
  if holder ~= '' and holder ~= owner and now < expires then
    return answer('held ' .. text(expires - now) .. ' ' .. holder)
  end
  token, expires = text(math.max(tonumber(newest) + 1, now)), now + ttl
elseif newest ~= token then
  return answer('fenced 1')
elseif what == 'renew' then
  owner, expires = holder, now + ttl
else
  token, owner, expires = text(math.max(tonumber(newest) + 1, now)), '', 0
end
redis.call('HSET', KEYS[2], 'token', token, 'owner', owner, 'expires', text(expires))
return done('ok ' .. token)
