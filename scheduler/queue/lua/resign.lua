--[[ resign: the leader steps down, so that a standby takes over at its next look.
keys: the centre's prefix
args: now, instance
returns: ok | not_leader
flags: allow-oom
]]
local function resign(keys, args)
  if redis.call('HGET', keys[1] .. 'lead', 'id') ~= args[2] then return 'not_leader' end
  redis.call('HSET', keys[1] .. 'lead', 'until', 0, 'heard', clock(args[1]))
  return 'ok'
end
