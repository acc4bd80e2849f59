--[[ sweep: what is due becomes pending, closed lanes whose time has come open, workers whose lease ran out are fenced.
keys: the centre's prefix
args: now, most, expected (what the clock should say by the caller's monotonic one; '' = leases are not looked at), longest_lease_ms
returns: {now, milliseconds to the next due Run (-1: none), {fenced workers that still hold Runs}, how many were moved}
flags: allow-oom
]]
local function release_due(P, now, events, most)
  local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, most)
  local lanes = {}
  for i = 1, #due do
    local f = redis.call('HMGET', P .. 'r:' .. due[i], 'task', 'queue', 'key', 'score', 'token')
    redis.call('ZREM', P .. 'delayed', due[i])
    if f[1] then
      local lane = lane_name(f[2] or 'default', f[1], f[3])
      redis.call('HSET', P .. 'r:' .. due[i], 'state', 'pending')
      put_in_lane(P, lane, due[i], f[4])
      lanes[lane] = (lanes[lane] or 0) + 1
      note(events, 'pending', due[i], f[1], f[5], '', 'due')
    end
  end
  for lane, count in pairs(lanes) do wake(P, lane, count) end
  return #due
end

-- A worker waits although work lies open: its wake-up went to somebody who died. Wake it again.
local function wake_the_idle(P)
  if redis.call('EXISTS', P .. 'idle') == 0 then return end
  local queues = redis.call('HKEYS', P .. 'queues')
  for i = 1, #queues do
    local lane = redis.call('ZRANGE', P .. 'q:' .. queues[i], 0, 0)[1]
    if lane then wake(P, lane, 1) end
  end
end

local function sweep(keys, args)
  local P, now, most, events = keys[1], clock(args[1]), tonumber(args[2]), {}
  local longest = tonumber(args[4])
  local newest = redis.call('ZRANGE', P .. 'leases', -1, -1, 'WITHSCORES')
  if newest[2] and tonumber(newest[2]) > now + longest + 1000 then -- the clock stepped back: no lease may outlive a lease
    local far = redis.call('ZRANGEBYSCORE', P .. 'leases', now + longest + 1000, '+inf', 'LIMIT', 0, 200)
    for i = 1, #far do redis.call('ZADD', P .. 'leases', now + longest, far[i]) end
  end
  -- A clock that has stepped says nothing about who is dead.
  if args[3] ~= '' and math.abs(now - tonumber(args[3])) <= 1000 then
    local expired = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, most)
    for i = 1, #expired do fence(P, now, expired[i]) end
  end
  local moved = release_due(P, now, events, most)
  local closed = redis.call('ZRANGEBYSCORE', P .. 'closed', '-inf', now, 'LIMIT', 0, most)
  for i = 1, #closed do open_lane(P, closed[i]) end
  wake_the_idle(P)
  publish(P, events)
  local next_due = redis.call('ZRANGE', P .. 'delayed', 0, 0, 'WITHSCORES')[2]
  return {now, next_due and math.max(0, tonumber(next_due) - now) or -1, redis.call('ZRANGE', P .. 'fenced', 0, most - 1), moved}
end
