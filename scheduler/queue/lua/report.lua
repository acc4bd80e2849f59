--[[ report: progress of a running Run, if the token is still its own.
keys: the centre's prefix
args: now, run, token, percent, message
returns: ok | fenced
flags: allow-oom
]]
local function report(keys, args)
  local P, events = keys[1], {}
  local record = P .. 'r:' .. args[2]
  local f = redis.call('HMGET', record, 'token', 'state', 'task', 'worker')
  if f[1] ~= args[3] or f[2] ~= 'running' then return 'fenced' end
  redis.call('HSET', record, 'prog', args[4], 'note', args[5])
  note(events, 'progress', args[2], f[3], args[3], f[4], '', 0, args[4])
  publish(P, events)
  return 'ok'
end
