-- The two ends of a Run's life in the queue, and what it holds in between.

-- Whether a queue's newest Run comes first (lifo); a queue exists from its first Run on.
local function order_of(step, queue)
  if step.queue ~= queue then
    local order = redis.call('HGET', step.P .. 'queues', queue)
    if not order then redis.call('HSET', step.P .. 'queues', queue, 'fifo') end
    step.queue, step.order = queue, order or 'fifo'
  end
  return step.order
end

-- Strict priority (10 first), then age; a LIFO queue turns the age around. Ties are broken by the time-ordered id.
local function score_of(step, queue, priority, ms)
  if order_of(step, queue) == 'lifo' then ms = 1e13 - ms end
  return text((10 - priority) * 1e13 + ms)
end

-- What a Run that exists already makes of another submit under its id.
local function again(record, task, params)
  local known = redis.call('HMGET', record, 'task', 'params')
  return known[1] == task and (known[2] or '') == params and 'duplicate' or 'conflict'
end

-- The answer that an idempotency key ("key body") has had before; nil for a new one.
local function answered(P, run, idempotency)
  local key, body = string.match(idempotency, '^(%S+) (%S+)$')
  local earlier, known = string.match(redis.call('GET', P .. 'idem:' .. key) or '', '^(%S+) (%S+)$')
  if not earlier or earlier == run then return nil end
  return known == body and 'same ' .. earlier or 'conflict'
end

local function remember(P, run, idempotency)
  local key, body = string.match(idempotency, '^(%S+) (%S+)$')
  redis.call('SET', P .. 'idem:' .. key, run .. ' ' .. body, 'PX', 86400000)
end

-- A new Run. `at` and `schedule` only for fires.
local function create(step, run, task, queue, priority, params, delay_ms, due_ms, key, idempotency, at, schedule)
  local P = step.P
  local record = P .. 'r:' .. run
  if redis.call('EXISTS', record) == 1 then return again(record, task, params) end
  local earlier = idempotency ~= '' and answered(P, run, idempotency)
  if earlier then return earlier end
  local due = delay_ms == '0' and tonumber(due_ms) or step.now + delay_ms
  local delayed = due > step.now
  local state, reason = 'pending', ''
  if delayed then state, reason = 'delayed', 'scheduled' end
  local score = score_of(step, queue, priority, delayed and due or step.now)
  local fields = {'task', task, 'state', state, 'score', score, 'created', step.stamp}
  if queue ~= 'default' then put(fields, 'queue', queue) end
  if priority ~= '5' then put(fields, 'prio', priority) end
  if params ~= '' then put(fields, 'params', params) end
  if key ~= '' then put(fields, 'key', key) end
  if delayed then
    put(fields, 'due', text(due))
    if delay_ms ~= '0' then put(fields, 'delay', delay_ms) end
    put(fields, 'reason', reason)
    redis.call('ZADD', P .. 'delayed', due, run)
  end
  if schedule then
    put(fields, 'sched', schedule)
    put(fields, 'at', at)
    redis.call('SADD', P .. 'active:' .. schedule, run)
  end
  redis.call('HSET', record, unpack(fields))
  if idempotency ~= '' then remember(P, run, idempotency) end
  if not delayed then line_up(step, lane_name(queue, task, key), run, score) end
  note(step.events, state, run, task, 0, '', reason, 0, head(params))
  return 'ok'
end

-- What a worker is told of a Run it claims: id, token, attempt, task, params, losses, crashes, at.
local function claim_of(run, token, spared, task, params, losses, crashes, at)
  local attempt = token - (whole(spared) or 0)
  return {run, token, attempt, task, params or '', whole(losses) or 0, whole(crashes) or 0, whole(at) or ''}
end

-- Where a Run is that nobody holds.
local ELSEWHERE = {pending = true, delayed = true, succeeded = true, failed = true, cancelled = true, dead = true}

-- The claim by which this worker holds the Run, and since when; nil where it does not, false where the record is not whole.
local function claim_held(P, run, worker)
  local state, holder, started, token, spared, task, params, losses, crashes, at = unpack(redis.call('HMGET', P .. 'r:' .. run,
    'state', 'worker', 'started', 'token', 'spared', 'task', 'params', 'losses', 'crashes', 'at'))
  if holder ~= worker or ELSEWHERE[state] then return nil end
  token, started = whole(token), whole(started)
  if state ~= 'running' or not (task and token and started) then return false end
  return claim_of(run, token, spared, task, params, losses, crashes, at), started
end

-- A running Run gives back its place in its concurrency group and its GPUs.
local function let_go(P, run, record, group, cards)
  if group then
    redis.call('SREM', P .. 'busy:' .. group, run)
    open_shut(P, 'busy/' .. group)
  end
  for card in string.gmatch(cards or '', '[^,]+') do redis.call('HDEL', P .. 'gpu:' .. card, run) end
  redis.call('HDEL', record, 'busy', 'gpu')
end

local function end_run(step, run, schedule, state)
  if schedule then redis.call('SREM', step.P .. 'active:' .. schedule, run) end
  local index = state == 'dead' and 'dead' or 'done'
  step.ended[index] = step.ended[index] or {}
  put(step.ended[index], step.stamp, run)
end

-- Ended Runs leave the store for good.
local function forget(P, runs)
  local keys = {}
  for i = 1, #runs do
    keys[2 * i - 1] = P .. 'r:' .. runs[i]
    keys[2 * i] = P .. 'log:' .. runs[i]
  end
  if #keys > 0 then redis.call('UNLINK', unpack(keys)) end
end

-- Ended Runs beyond the number to keep leave, oldest first, at most 500; dead letters never do.
local function forget_oldest(P, most)
  local keep = whole(redis.call('HGET', P .. 'meta', 'keep')) or 10000
  local excess = redis.call('ZCARD', P .. 'done') - keep
  if excess <= 0 then return 0 end
  local old = redis.call('ZRANGE', P .. 'done', 0, math.min(excess, most, 500) - 1)
  forget(P, old)
  redis.call('ZREMRANGEBYRANK', P .. 'done', 0, #old - 1)
  return #old
end

local function tell_to_stop(P, run, record, worker, reason)
  redis.call('HSET', record, 'cancel', reason)
  if redis.call('SADD', P .. 'cancels:' .. worker, run) == 1 then redis.call('RPUSH', P .. 'wake:' .. worker, 'cancel') end
  return 'cancelling'
end

local function cancel_one(step, run, reason)
  local P, record = step.P, step.P .. 'r:' .. run
  local f = redis.call('HMGET', record, 'state', 'task', 'queue', 'key', 'worker', 'token', 'sched')
  local state = f[1]
  if not state then return 'gone' end
  if state == 'running' then return tell_to_stop(P, run, record, f[5], reason) end
  if state == 'pending' then
    leave_lane(P, lane_name(f[3] or 'default', f[2], f[4]), run)
  elseif state == 'delayed' then
    redis.call('ZREM', P .. 'delayed', run)
  else
    return state == 'cancelled' and 'cancelled' or 'ended'
  end
  redis.call('HSET', record, 'state', 'cancelled', 'reason', reason, 'ended', step.stamp)
  end_run(step, run, f[7], 'cancelled')
  note(step.events, 'cancelled', run, f[2], f[6], '', reason)
  return 'cancelled'
end
