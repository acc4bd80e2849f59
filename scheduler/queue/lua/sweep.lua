--[[ sweep: what is due becomes pending, closed lanes whose time has come open, workers whose lease ran out are fenced.
keys: the centre's prefix
args: now, most, expected (what the clock should say by the caller's monotonic one; '' = leases are not looked at), longest_lease_ms,
      thorough (1: also what a stepped clock or a lost wake-up left behind | 0: only what is due, with few commands)
returns: {now, milliseconds to the next due Run (-1: none), {fenced workers that still hold Runs}, how many were moved}
flags: allow-oom
]]
local function release_due(step, most)
  local due = redis.call('ZRANGEBYSCORE', step.P .. 'delayed', '-inf', step.now, 'LIMIT', 0, most)
  for i = 1, #due do
    local record = step.P .. 'r:' .. due[i]
    local state, task, queue, key, score, token = unpack(redis.call('HMGET', record, 'state', 'task', 'queue', 'key', 'score', 'token'))
    if state == 'delayed' then
      redis.call('HSET', record, 'state', 'pending')
      line_up(step, lane_name(queue or 'default', task, key), due[i], whole(score) and score or step.stamp)
      note(step.events, 'pending', due[i], task, token, '', 'due')
    end
    redis.call('ZREM', step.P .. 'delayed', due[i])
  end
  return #due
end

-- No lease ends later than the longest can: what does was written before the clock stepped back.
local function clamp_leases(P, now, longest)
  local newest = redis.call('ZRANGE', P .. 'leases', -1, -1, 'WITHSCORES')[2]
  if not newest or tonumber(newest) <= now + longest + 1000 then return end
  local far = redis.call('ZRANGEBYSCORE', P .. 'leases', now + longest + 1000, '+inf', 'LIMIT', 0, 200)
  for i = 1, #far do redis.call('ZADD', P .. 'leases', now + longest, far[i]) end
end

-- Nor does a Run wait for longer than it was told to. One that is due at a given time was told no such thing.
local function clamp_delays(P, now)
  local runs = redis.call('ZRANDMEMBER', P .. 'delayed', 200, 'WITHSCORES')
  for i = 1, #runs, 2 do
    local delay = whole(redis.call('HGET', P .. 'r:' .. runs[i], 'delay'))
    if delay and tonumber(runs[i + 1]) > now + delay + 1000 then
      redis.call('ZADD', P .. 'delayed', now + delay, runs[i])
      redis.call('HSET', P .. 'r:' .. runs[i], 'due', text(now + delay))
    end
  end
end

-- A clock that has stepped says nothing about who is dead.
local function fence_the_dead(P, now, expected, most)
  if expected == '' or math.abs(now - expected) > 1000 then return end
  local expired = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, most)
  for i = 1, #expired do fence(P, now, expired[i]) end
end

-- A concurrency group counts what runs in it, not what somebody else wrote there.
local function drop_strangers(P, group)
  local runs = redis.call('SRANDMEMBER', P .. 'busy:' .. group, 200)
  for i = 1, #runs do
    local state, its_group = unpack(redis.call('HMGET', P .. 'r:' .. runs[i], 'state', 'busy'))
    if state ~= 'running' or its_group ~= group then redis.call('SREM', P .. 'busy:' .. group, runs[i]) end
  end
end

-- Lanes open when their time has come. One that waits for something else than time is given a new chance now and then; one that is to be
-- looked at later than a recheck away was closed before the clock stepped back.
local function look_again(P, now, most)
  local due = redis.call('ZRANGEBYSCORE', P .. 'closed', '-inf', now, 'LIMIT', 0, most)
  for i = 1, #due do
    local until_ms, cause = string.match(redis.call('HGET', P .. 'why', due[i]) or '', '^%S+ (%d+) ?(.*)$')
    local group = string.match(cause or '', '^busy/(.*)$')
    if group then drop_strangers(P, group) end
    if cause == '' and tonumber(until_ms) > now then
      redis.call('ZADD', P .. 'closed', math.min(until_ms, now + RECHECK_MS), due[i])
    else
      open_lane(P, due[i])
    end
  end
  local stale = redis.call('ZRANGEBYSCORE', P .. 'closed', '(' .. text(now + RECHECK_MS), '+inf', 'LIMIT', 0, most)
  for i = 1, #stale do open_lane(P, stale[i]) end
end

-- A worker waits although work lies open: its wake-up went to somebody who died. Wake it again.
local function wake_the_idle(P)
  if redis.call('EXISTS', P .. 'idle') == 0 then return end
  local queues = open_queues(P, '*')
  for i = 1, #queues do
    local lane = redis.call('ZRANGE', P .. 'q:' .. queues[i], 0, 0)[1]
    if lane then wake(P, lane, 1) end
  end
end

local function first_score(P, key) return tonumber(redis.call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2]) or math.huge end

-- Whether anything waits for a sweep but the end of a lease; mostly nothing does, and one look tells.
local function something_waits(P) return redis.call('EXISTS', P .. 'delayed', P .. 'closed', P .. 'fenced') > 0 end

local function sweep_round(step, args)
  local P, now, most, thorough = step.P, step.now, tonumber(args[2]), args[5] == '1'
  if thorough then clamp_leases(P, now, tonumber(args[4])) end
  if first_score(P, 'leases') <= now then fence_the_dead(P, now, args[3], most) end
  if not thorough and not something_waits(P) then return {now, -1, {}, 0} end
  if thorough then clamp_delays(P, now) end
  local next_due, moved = first_score(P, 'delayed'), 0
  if next_due <= now then
    moved = release_due(step, most)
    flush(step)
    next_due = first_score(P, 'delayed')
  end
  if thorough or first_score(P, 'closed') <= now then look_again(P, now, most) end
  if thorough then wake_the_idle(P) end
  next_due = next_due < math.huge and math.max(0, next_due - now) or -1
  return {now, next_due, redis.call('ZRANGE', P .. 'fenced', 0, most - 1), moved}
end

local function sweep(keys, args) return in_step(sweep_round, keys, args) end
