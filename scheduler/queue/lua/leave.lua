--[[ leave: an instance is there no more.
keys: the centre's prefix
args: now, instance
returns: ok
flags: allow-oom
]]
local function leave(keys, args)
  redis.call('HDEL', keys[1] .. 'instances', args[2])
  return 'ok'
end
