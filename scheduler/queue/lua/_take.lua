-- Claiming: the best open lane first, as many of its Runs as its gates and the free slots allow. A lane that may not go on now is
-- closed with its reason, so that no later claim looks at it in vain.

local MOST_CLOSED = 200 -- lanes that one claim closes: a call stays short however many lanes a pause or a limit concerns
local MOST_PASSED = 1000 -- lanes of a queue that one claim passes over

-- A claim in progress: c = {step, worker, free (slots by kind), left (of them all), policies (by task), passed (lanes by queue), closed}

local function shut(c, lane, reason, until_ms, cause)
  close_lane(c.step, lane, reason, until_ms, cause)
  c.closed = c.closed + 1
end

local function somebody_knows(P, task)
  local workers = redis.call('ZRANGE', P .. 'leases', 0, 999)
  for i = 1, #workers do
    if knows(P, workers[i], task) then return true end
  end
  return false
end

-- What the centre says of a task, or who else can run it: 'others' or 'nobody'.
local function policy_of(c, task)
  local policy, P = c.policies[task], c.step.P
  if policy == nil then
    if knows(P, c.worker, task) then
      local f = redis.call('HMGET', P .. 'task:' .. task, 'paused', 'limit', 'rates', 'slot')
      policy = {paused = f[1], limit = whole(f[2]), rates = f[3], slot = c.free[f[4]] and f[4] or 'default'}
    else
      policy = somebody_knows(P, task) and 'others' or 'nobody'
    end
    c.policies[task] = policy
  end
  return policy
end

-- GCRA: a limit of so many calls a window has a theoretical arrival time; each call moves it on by window/calls, and it is never ahead
-- of now by more than the window, unless the clock has stepped back. How far ahead it is.
local function ahead_of(P, now, key, window)
  local ahead = (tonumber(redis.call('GET', P .. key)) or 0) - now
  if ahead > window + 1 then
    ahead = tonumber(window)
    redis.call('SET', P .. key, now + ahead, 'PX', 2 * window)
  end
  return math.max(ahead, 0)
end

-- As many of `want` calls as all rate limits of the task allow, when it is worth asking again, and the charge for each call.
local function within_rates(c, task, rates, want)
  local charges, again_ms = {}, 0
  for limit, calls, window in string.gmatch(rates, '((%d+)/(%d+))') do
    local key, every = 'rate:' .. task .. ':' .. limit, window / calls
    local ahead = ahead_of(c.step.P, c.step.now, key, window)
    local slack = window - every - ahead
    want = math.min(want, slack < 0 and 0 or math.floor(slack / every + 1e-9) + 1)
    if slack < 0 then again_ms = math.max(again_ms, c.step.now - slack) end
    charges[#charges + 1] = {key = key, ahead = ahead, every = every, window = window}
  end
  return want, again_ms, charges
end

local function pay(step, charges, calls)
  for _, charge in ipairs(charges) do
    local arrival = string.format('%.3f', step.now + charge.ahead + calls * charge.every)
    redis.call('SET', step.P .. charge.key, arrival, 'PX', 2 * charge.window)
  end
end

-- How many Runs of this lane may start now (0: it was closed, with its reason), the group they count in, and what they cost.
local function admit(c, lane, task, policy, want)
  local now, group, charges = c.step.now, nil, {}
  if policy.paused then
    shut(c, lane, 'paused', now + RECHECK_MS, 'task/' .. task)
    return 0
  end
  if policy.limit then
    group = group_of(lane)
    want = math.min(want, policy.limit - redis.call('SCARD', c.step.P .. 'busy:' .. group))
    if want <= 0 then
      shut(c, lane, 'concurrency', now + RECHECK_MS, 'busy/' .. group)
      return 0
    end
  end
  if policy.rates then
    local again_ms
    want, again_ms, charges = within_rates(c, task, policy.rates, want)
    if want == 0 then shut(c, lane, 'rate_limited', math.ceil(again_ms), 'rate/' .. task) end
  end
  return want, group, charges
end

-- Whether this worker can take from a lane now. Lanes of tasks that nobody can run are closed in passing.
local function suits(c, queue, lane)
  local its_queue, task = queue_and_task(lane)
  if its_queue ~= queue then -- no lane of ours
    redis.call('ZREM', c.step.P .. 'q:' .. queue, lane)
    c.closed = c.closed + 1
    return false
  end
  local policy = policy_of(c, task)
  if policy == 'nobody' then
    shut(c, lane, 'no_worker', c.step.now + RECHECK_MS, 'unknown/' .. task)
  elseif policy == 'others' or c.free[policy.slot] <= 0 then
    c.passed[queue] = c.passed[queue] + 1
  else
    return true
  end
end

-- The first lane of a queue that suits, its head's score, and that of the lane after it (its own where that is not known).
local function first_lane(c, queue)
  c.passed[queue] = c.passed[queue] or 0
  local last = 1 -- mostly the first one suits; where it does not, there may be many
  while c.passed[queue] < MOST_PASSED do
    local heads = redis.call('ZRANGE', c.step.P .. 'q:' .. queue, c.passed[queue], c.passed[queue] + last, 'WITHSCORES')
    for i = 1, #heads, 2 do
      if c.closed >= MOST_CLOSED then return nil end
      local after = heads[i + 3] or (#heads <= 2 * last and math.huge) or heads[i + 1]
      if suits(c, queue, heads[i]) then return heads[i], tonumber(heads[i + 1]), tonumber(after) end
    end
    if #heads <= 2 * last then return nil end -- there were no more
    last = 63
  end
end

-- The best lane over all queues, and the score at which another lane comes first.
local function best_lane(c, queues)
  local best, best_score, bound = nil, math.huge, math.huge
  for i = 1, #queues do
    local lane, score, after = first_lane(c, queues[i])
    if lane and score < best_score then
      bound = math.min(best_score, after)
      best, best_score = lane, score
    elseif lane then
      bound = math.min(bound, score)
    end
  end
  return best, bound
end

-- The claims for the Runs at the head of a lane, `count` at most.
local function look_at_heads(P, lane, task, runs)
  local claims = {}
  for i = 1, #runs do
    local state, token, spared, params, losses, crashes, at =
      unpack(redis.call('HMGET', P .. 'r:' .. runs[i], 'state', 'token', 'spared', 'params', 'losses', 'crashes', 'at'))
    if state == 'pending' then -- else it has no business in a lane
      claims[#claims + 1] = claim_of(runs[i], (whole(token) or 0) + 1, spared, task, params, losses, crashes, at)
    end
  end
  return claims
end

local function start(c, task, claims, group)
  local step, worker, runs = c.step, c.worker, {}
  for i = 1, #claims do runs[i] = claims[i][1] end
  for_all('SADD', step.P .. 'own:' .. worker, runs)
  if group then for_all('SADD', step.P .. 'busy:' .. group, runs) end
  for i = 1, #claims do
    local run, token = claims[i][1], claims[i][2]
    local record = step.P .. 'r:' .. run
    redis.call('HSET', record, 'state', 'running', 'worker', worker, 'started', step.stamp, 'token', token)
    if group then redis.call('HSET', record, 'busy', group) end
    note(step.events, 'running', run, task, token, worker)
    c.claims[#c.claims + 1] = claims[i]
  end
end

local function take(c, lane, bound)
  local P, _, task = c.step.P, queue_and_task(lane)
  local policy, key = policy_of(c, task), P .. 'lane:' .. lane
  -- Not beyond the next lane's head: priority and age hold across lanes, not only within one.
  local waiting = math.max(1, redis.call('ZCOUNT', key, '-inf', bound < math.huge and bound or '+inf'))
  local count, group, charges = admit(c, lane, task, policy, math.min(c.free[policy.slot], waiting))
  if count == 0 then return end
  local runs = redis.call('ZRANGE', key, 0, count - 1)
  local claims = look_at_heads(P, lane, task, runs)
  pay(c.step, charges, #claims)
  start(c, task, claims, group)
  redis.call('ZREMRANGEBYRANK', key, 0, count - 1)
  show_head(P, lane)
  c.free[policy.slot] = c.free[policy.slot] - #claims
  c.left = c.left - #claims
  if #claims == 0 then c.closed = c.closed + 1 end
end

local function open_queues(P, wanted)
  local open, all = {}, redis.call('HKEYS', P .. 'queues')
  for i = 1, #all do
    local served = wanted == '*' or string.find(wanted, ',' .. all[i] .. ',', 1, true)
    if served and redis.call('SISMEMBER', P .. 'paused', 'queue/' .. all[i]) == 0 then open[#open + 1] = all[i] end
  end
  return open
end

-- What a worker may take now. Where nothing is left for it, it is entered among the idle in the same step: no wake-up is missed.
local function claim(step, worker, wanted, free)
  local left = free.default + free.processpool + free.asyncio
  local c = {step = step, worker = worker, free = free, left = left, policies = {}, passed = {}, closed = 0, claims = {}}
  local queues = open_queues(step.P, wanted)
  local lane, bound = best_lane(c, queues)
  while lane do
    take(c, lane, bound)
    if c.left <= 0 then break end
    lane, bound = best_lane(c, queues)
  end
  if #c.claims == 0 and c.closed < MOST_CLOSED then
    redis.call('ZADD', step.P .. 'idle', step.now, worker)
  else
    redis.call('ZREM', step.P .. 'idle', worker)
    if #c.claims == 0 then redis.call('RPUSH', step.P .. 'wake:' .. worker, 'work') end -- there is more to look at
  end
  return c.claims
end
