--[[ abandon: a worker is gone (its process ended): fence it for ever, at once, without waiting for its lease.
keys: the centre's prefix
args: now, worker
returns: ok
flags: allow-oom
]]
local function fence(P, now, worker)
  redis.call('ZREM', P .. 'leases', worker)
  redis.call('ZREM', P .. 'idle', worker)
  redis.call('ZADD', P .. 'fenced', 'NX', now, worker)
end

local function abandon(keys, args)
  if not redis.call('ZSCORE', keys[1] .. 'gone', args[2]) then fence(keys[1], clock(args[1]), args[2]) end
  return 'ok'
end
