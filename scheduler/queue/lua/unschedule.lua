--[[ unschedule: schedules are forgotten, with their pause, what they have fired, and the task that a program added with it. Their Runs stay.
keys: the centre's prefix
args: now, then names
returns: ok
flags: allow-oom
]]
local function unschedule(keys, args)
  local P = keys[1]
  for i = 2, #args do
    redis.call('HDEL', P .. 'schedules', args[i])
    redis.call('HDEL', P .. 'fired', args[i])
    redis.call('HDEL', P .. 'tasks', args[i])
    redis.call('SREM', P .. 'paused', 'schedule/' .. args[i])
  end
  next_generation(P)
  return 'ok'
end
