--[[ turn: a worker's whole conversation in one step: settle what has ended, then claim Runs for the free slots.
keys: the centre's prefix
args: now, worker ('' = the rescuer, which claims nothing), nonce, free slots (default, processpool, asyncio), then per settlement: id, token, state, reason, delay_ms, burn (1|0),
      strike (''|loss|crash), result, error, duration_ms, close_lane_ms
returns: {status, {answer per settlement: ok | done (a replay) | fenced | gone}, {claims: {id, token, attempt, task, params, losses, crashes, at}}}
         status: ok | fenced (this worker's lease was lost: it owns nothing any more)
flags: allow-oom
]]
local function settle_one(P, now, events, worker, a)
  local record, token = P .. 'r:' .. a[1], a[2]
  local f = redis.call('HMGET', record, 'state', 'token', 'task', 'queue', 'key', 'busy', 'sched', 'score', 'att', 'cancel', 'worker', 'gpu')
  if not f[1] then return 'gone' end
  if f[2] ~= token then return 'fenced' end
  if f[1] ~= 'running' then return 'done' end
  local state, reason = a[3], a[4]
  if f[10] and (state == 'pending' or state == 'delayed') then state, reason = 'cancelled', f[10] end
  let_go(P, a[1], f[11], f[6], f[12])
  local set = {'state', state, 'reason', reason}
  local function field(name, value) set[#set + 1] = name; set[#set + 1] = value end
  if a[6] == '0' then field('att', tonumber(f[9]) - 1) end
  if a[7] == 'loss' then redis.call('HINCRBY', record, 'losses', 1) end
  if a[7] == 'crash' then redis.call('HINCRBY', record, 'crashes', 1) end
  if a[8] ~= '' then field('result', a[8]) end
  if a[9] ~= '' then field('error', a[9]) end
  local lane = lane_name(f[4] or 'default', f[3], f[5])
  if state == 'pending' then
    put_in_lane(P, lane, a[1], f[8])
    local shut = tonumber(a[11])
    if shut > 0 then close_lane(P, lane, reason, now + shut, now) else wake(P, lane, 1) end
  elseif state == 'delayed' then
    local due = now + tonumber(a[5])
    field('due', due)
    redis.call('ZADD', P .. 'delayed', due, a[1])
  else
    field('ended', now)
    end_run(P, now, a[1], f[7], state)
  end
  redis.call('HSET', record, unpack(set))
  if f[10] then redis.call('SREM', P .. 'cancels:' .. f[11], a[1]) end
  note(events, state, a[1], f[3], token, f[11], reason, a[10], a[9] ~= '' and a[9] or a[8])
  return 'ok'
end

-- GCRA per limit: `tat` is the theoretical arrival time; a burst of max_calls, then one every window/max_calls.
local function rate_allows(P, task, rates, want, now)
  local plans, until_ms = {}, 0
  for limit in string.gmatch(rates, '[^,]+') do
    local calls, window = string.match(limit, '^(%d+)/(%d+)$')
    local step = window / calls
    local key = P .. 'rate:' .. task .. ':' .. limit
    local ahead = math.max(0, tonumber(redis.call('GET', key) or 0) - now)
    local slack = window - step - ahead
    local allowed = slack < 0 and 0 or math.floor(slack / step + 1e-9) + 1
    if allowed < want then want = allowed end
    if allowed == 0 then until_ms = math.max(until_ms, now - slack) end
    plans[#plans + 1] = {key = key, step = step, ahead = ahead, window = window}
  end
  if want > 0 then
    for _, p in ipairs(plans) do
      redis.call('SET', p.key, string.format('%.3f', now + p.ahead + want * p.step), 'PX', 2 * p.window)
    end
  end
  return want, until_ms
end

-- A claim in progress: c = {P, now, worker, free (slots by kind), known (task → policy, false where the worker cannot run it), skip}
local function policy_of(c, task)
  local policy = c.known[task]
  if policy == nil then
    policy = knows(c.P, c.worker, task) and redis.call('HMGET', c.P .. 'task:' .. task, 'paused', 'limit', 'rates', 'slot')
    if policy then policy.slot = policy[4] or 'default' end
    c.known[task] = policy
  end
  return policy
end

-- How many Runs of this lane may start now (0: the lane was closed, with its reason), and the concurrency group they count in.
local function admit(c, lane, policy, want)
  local P, now, task = c.P, c.now, task_of(lane)
  if policy[1] then
    close_lane(P, lane, 'paused', now + RECHECK_MS, now, 'task/' .. task)
    return 0
  end
  local group = nil
  if policy[2] then
    group = string.find(lane, '#', 1, true) and lane or task
    want = math.min(want, tonumber(policy[2]) - redis.call('SCARD', P .. 'busy:' .. group))
    if want <= 0 then
      close_lane(P, lane, 'concurrency', now + RECHECK_MS, now, 'busy/' .. group)
      return 0
    end
  end
  if policy[3] then
    local until_ms
    want, until_ms = rate_allows(P, task, policy[3], want, now)
    if want == 0 then close_lane(P, lane, 'rate_limited', math.ceil(until_ms), now) end
  end
  return want, group
end

local function somebody_knows(P, task)
  local workers = redis.call('ZRANGE', P .. 'leases', 0, 199)
  for i = 1, #workers do
    if knows(P, workers[i], task) then return true end
  end
  return false
end

-- The first lane of a queue that this worker has a free slot for; lanes that nobody serves are closed on the way.
local function first_lane(c, queue)
  local P, skipped = c.P, c.skip[queue] or 0
  while skipped <= 200 do
    local heads = redis.call('ZRANGE', P .. 'q:' .. queue, skipped, skipped + 1, 'WITHSCORES')
    if #heads == 0 then return nil end
    local task = task_of(heads[1])
    local policy = policy_of(c, task)
    if policy and c.free[policy.slot] > 0 then return heads[1], tonumber(heads[2]), tonumber(heads[4] or math.huge) end
    if policy or somebody_knows(P, task) then
      skipped = skipped + 1
      c.skip[queue] = skipped
    else
      close_lane(P, heads[1], 'no_worker', c.now + RECHECK_MS, c.now, 'unknown/' .. task)
    end
  end
end

-- The best lane over all queues that this worker serves, and the score at which another lane comes first.
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

local function start_run(P, now, events, worker, run, group, claims)
  local record = P .. 'r:' .. run
  local f = redis.call('HMGET', record, 'task', 'params', 'att', 'token', 'losses', 'crashes', 'at')
  if not f[1] then return end
  local attempt, token = (f[3] or 0) + 1, (f[4] or 0) + 1
  if group then
    redis.call('HSET', record, 'state', 'running', 'worker', worker, 'started', now, 'att', attempt, 'token', token, 'busy', group)
    redis.call('SADD', P .. 'busy:' .. group, run)
  else
    redis.call('HSET', record, 'state', 'running', 'worker', worker, 'started', now, 'att', attempt, 'token', token)
  end
  note(events, 'running', run, f[1], token, worker)
  claims[#claims + 1] = {run, token, attempt, f[1], f[2] or '', f[5] or 0, f[6] or 0, f[7] or ''}
end

local function open_queues(P, worker)
  local wanted = redis.call('HGET', P .. 'w:' .. worker, 'queues')
  local open = {}
  local all = redis.call('HKEYS', P .. 'queues')
  for i = 1, #all do
    if (wanted == '*' or string.find(wanted, ',' .. all[i] .. ',', 1, true))
       and redis.call('SISMEMBER', P .. 'paused', 'queue/' .. all[i]) == 0 then
      open[#open + 1] = all[i]
    end
  end
  return open
end

local function claim(c, events, claims)
  local P, queues, owned = c.P, open_queues(c.P, c.worker), {}
  while true do
    local lane, bound = best_lane(c, queues)
    if not lane then break end
    local policy = policy_of(c, task_of(lane))
    -- Not beyond the next lane's head: priority and age hold across lanes, not only within one.
    local limit = bound < math.huge and string.format('%.0f', bound) or '+inf'
    local waiting = math.max(1, redis.call('ZCOUNT', P .. 'lane:' .. lane, '-inf', limit))
    local count, group = admit(c, lane, policy, math.min(c.free[policy.slot], waiting))
    if count > 0 then
      local taken = redis.call('ZPOPMIN', P .. 'lane:' .. lane, count)
      for i = 1, #taken, 2 do
        start_run(P, c.now, events, c.worker, taken[i], group, claims)
        owned[#owned + 1] = taken[i]
      end
      show_head(P, lane)
      c.free[policy.slot] = c.free[policy.slot] - #taken / 2
    end
  end
  if #owned > 0 then redis.call('SADD', P .. 'own:' .. c.worker, unpack(owned)) end
end

-- The claims of the last turn once more, for a worker whose reply was lost.
local function repeat_claims(P, worker, ids)
  local claims = {}
  for run in string.gmatch(ids, '%S+') do
    local f = redis.call('HMGET', P .. 'r:' .. run, 'worker', 'state', 'token', 'att', 'task', 'params', 'losses', 'crashes', 'at')
    if f[1] == worker and f[2] == 'running' then
      claims[#claims + 1] = {run, tonumber(f[3]), tonumber(f[4]), f[5], f[6] or '', f[7] or 0, f[8] or 0, f[9] or ''}
    end
  end
  return claims
end

local function turn(keys, args)
  local P, now, worker, nonce = keys[1], clock(args[1]), args[2], args[3]
  local free = {default = tonumber(args[4]), processpool = tonumber(args[5]), asyncio = tonumber(args[6])}
  local answers, claims, events = {}, {}, {}
  if worker ~= '' then
    if not redis.call('ZSCORE', P .. 'leases', worker) then return {'fenced', answers, claims} end
    local last = redis.call('HMGET', P .. 'w:' .. worker, 'nonce', 'answers', 'claimed')
    if last[1] == nonce then
      for answer in string.gmatch(last[2], '%S+') do answers[#answers + 1] = answer end
      return {'ok', answers, repeat_claims(P, worker, last[3])}
    end
  end
  for i = 7, #args, 11 do
    answers[#answers + 1] = settle_one(P, now, events, worker, {unpack(args, i, i + 10)})
  end
  if free.default + free.processpool + free.asyncio > 0 then
    claim({P = P, now = now, worker = worker, free = free, known = {}, skip = {}}, events, claims)
    if #claims > 0 then
      redis.call('ZREM', P .. 'idle', worker)
    else
      redis.call('ZADD', P .. 'idle', now, worker)
    end
  end
  if #events > 0 then
    publish(P, events)
    forget_oldest(P, 2 * #answers + 10)
  end
  if worker ~= '' then
    local ids = {}
    for i = 1, #claims do ids[i] = claims[i][1] end
    redis.call('HSET', P .. 'w:' .. worker, 'nonce', nonce, 'answers', table.concat(answers, ' '), 'claimed', table.concat(ids, ' '))
  end
  return {'ok', answers, claims}
end
