--[[ retain: finished Runs older than they need be leave the live store, and read events are trimmed.
keys: the centre's prefix
args: now, keep (number of finished Runs), keep_ms (their age), most, events (entries to keep where no reader group is registered)
returns: how many Runs were removed
flags: allow-oom
]]
local function trim_events(P, most)
  if redis.call('EXISTS', P .. 'ev') == 0 then return end
  local groups = redis.call('XINFO', 'GROUPS', P .. 'ev')
  if #groups == 0 then
    redis.call('XTRIM', P .. 'ev', 'MAXLEN', '~', most)
    return
  end
  local oldest = nil
  for _, group in ipairs(groups) do -- {'name', …, 'pending', …, 'last-delivered-id', …}
    local facts = {}
    for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
    local position = facts['last-delivered-id']
    if facts['pending'] > 0 then position = redis.call('XPENDING', P .. 'ev', facts['name'])[2] end
    local ms, n = string.match(position, '^(%d+)-(%d+)$')
    local here = {tonumber(ms), tonumber(n), position}
    if not oldest or here[1] < oldest[1] or (here[1] == oldest[1] and here[2] < oldest[2]) then oldest = here end
  end
  redis.call('XTRIM', P .. 'ev', 'MINID', '~', oldest[3])
end

local function retain(keys, args)
  local P, now, most = keys[1], clock(args[1]), tonumber(args[4])
  redis.call('HSET', P .. 'meta', 'keep', args[2])
  local removed = forget_oldest(P, most)
  local old = redis.call('ZRANGEBYSCORE', P .. 'done', '-inf', now - tonumber(args[3]), 'LIMIT', 0, most)
  forget(P, old)
  for_all('ZREM', P .. 'done', old)
  trim_events(P, args[5])
  return removed + #old
end
