--[[ define: what `claim` must know of tasks: concurrency limit and rate limits. Pauses are kept.
keys: the centre's prefix
args: now, then per task: name, limit ('' = none), rates ('' or 'calls/window_ms,…'), slot ('' = default)
returns: ok
flags:
]]
local function define(keys, args)
  local P = keys[1]
  local fields = {'limit', 'rates', 'slot'}
  for i = 2, #args, 4 do
    local key = P .. 'task:' .. args[i]
    for n, field in ipairs(fields) do
      if args[i + n] ~= '' then redis.call('HSET', key, field, args[i + n]) else redis.call('HDEL', key, field) end
    end
    open_shut(P, 'busy/' .. args[i], 200)
  end
  return 'ok'
end
