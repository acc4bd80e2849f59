--[[ define: what `claim` must know of tasks: concurrency limit, rate limits, kind of slot. Pauses are kept.
keys: the centre's prefix
args: now, then per task: name, limit ('' = none), rates ('' or 'calls/window_ms,…'), slot ('' = default)
returns: ok
flags: allow-oom
]]
local function define(keys, args)
  local P, fields = keys[1], {'limit', 'rates', 'slot'}
  for i = 2, #args, 4 do
    local task = args[i]
    for n, field in ipairs(fields) do
      if args[i + n] ~= '' then
        redis.call('HSET', P .. 'task:' .. task, field, args[i + n])
      else
        redis.call('HDEL', P .. 'task:' .. task, field)
      end
    end
    open_shut(P, 'busy/' .. task)
    open_shut(P, 'rate/' .. task)
  end
  return 'ok'
end
