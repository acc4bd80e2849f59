--[[ added: the tasks that programs have added, where any definition has changed since the caller looked.
keys: the centre's prefix
args: now, generation (as it was told the last time; '' = never)
returns: {generation, {name, definition, …}}, or {} where nothing has changed
flags: allow-oom
]]
local function added(keys, args)
  local generation = redis.call('HGET', keys[1] .. 'meta', 'generation') or '0'
  if generation == args[2] then return {} end
  return {generation, redis.call('HGETALL', keys[1] .. 'tasks')}
end
