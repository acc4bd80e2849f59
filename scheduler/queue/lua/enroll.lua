--[[ enroll: a worker with a new id enters service; lanes that waited for somebody who knows their task open.
keys: the centre's prefix
args: now, worker, lease_ms, host, pid, slots, queues ('*' or ',a,b,'), then the tasks it knows (in chunks: call again with more)
returns: ok | fenced (this id was used before and lost its lease)
flags: allow-oom
]]
local function enroll(keys, args)
  local P, now, worker = keys[1], clock(args[1]), args[2]
  if redis.call('ZSCORE', P .. 'fenced', worker) or redis.call('ZSCORE', P .. 'gone', worker) then return 'fenced' end
  redis.call('ZADD', P .. 'leases', now + args[3], worker)
  redis.call('HSET', P .. 'w:' .. worker, 'host', args[4], 'pid', args[5], 'slots', args[6], 'queues', args[7])
  redis.call('HSETNX', P .. 'w:' .. worker, 'started', now)
  for i = 8, #args do
    redis.call('SADD', P .. 'knows:' .. worker, args[i])
    open_shut(P, 'unknown/' .. args[i])
  end
  return 'ok'
end
