--[[ define: what `claim` must know of tasks: concurrency limit, rate limits, kind of slot. Pauses are kept. A task that no configuration
has, because a program added it, is kept as a whole: every instance can then run it.
keys: the centre's prefix
args: now, then per task: name, limit ('' = none), rates ('' or 'calls/window_ms,…'), slot ('' = default), definition (JSON; '' = it is
      in a configuration)
returns: ok
flags: allow-oom
]]
local function define(keys, args)
  local P, fields = keys[1], {'limit', 'rates', 'slot'}
  for i = 2, #args, 5 do
    local task = args[i]
    for n, field in ipairs(fields) do
      if args[i + n] ~= '' then
        redis.call('HSET', P .. 'task:' .. task, field, args[i + n])
      else
        redis.call('HDEL', P .. 'task:' .. task, field)
      end
    end
    if args[i + 4] ~= '' and args[i + 4] ~= redis.call('HGET', P .. 'tasks', task) then
      redis.call('HSET', P .. 'tasks', task, args[i + 4])
      next_generation(P)
    end
    open_shut(P, 'busy/' .. task)
    open_shut(P, 'rate/' .. task)
  end
  return 'ok'
end
