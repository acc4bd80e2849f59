--[[ beat: the leases of these workers are renewed; one call for all workers of an instance.
keys: the centre's prefix
args: now, lease_ms, then the workers
returns: per worker: ok | fenced
flags: allow-oom
]]
local function beat(keys, args)
  local P, now, answers = keys[1], clock(args[1]), {}
  for i = 3, #args do
    if redis.call('ZSCORE', P .. 'leases', args[i]) then
      redis.call('ZADD', P .. 'leases', now + tonumber(args[2]), args[i])
      answers[#answers + 1] = 'ok'
    else
      answers[#answers + 1] = 'fenced'
    end
  end
  return answers
end
