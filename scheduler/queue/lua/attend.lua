--[[ attend: an instance shows that it is there, and which configuration it has entered.
keys: the centre's prefix
args: now, instance, configuration (a digest; '' = it enters none), living_ms (who was not heard of for so long counts as away)
returns: {1 (it was there before) | 0, {instances that are there with another configuration}}
flags: allow-oom
]]
local FORGET_MS = 3600000 -- beyond any outage: who was away for a while is known again when it comes back

local function attend(keys, args)
  local key, now, me, mine, known, others = keys[1] .. 'instances', clock(args[1]), args[2], args[3], 0, {}
  local entries = redis.call('HGETALL', key)
  for i = 1, #entries, 2 do
    local seen, its = string.match(entries[i + 1], '^(%d+) (%x*)$')
    local away = math.abs(now - (tonumber(seen) or 0))
    if entries[i] == me then
      known = 1
    elseif away > FORGET_MS then
      redis.call('HDEL', key, entries[i])
    elseif away < tonumber(args[4]) and mine ~= '' and its ~= '' and its ~= mine then
      put(others, entries[i])
    end
  end
  redis.call('HSET', key, me, text(now) .. ' ' .. mine)
  return {known, others}
end
