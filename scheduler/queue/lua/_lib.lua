-- Shared by all verbs: the clock, lanes (open, close, wake), events, and the two ends of a Run's life in the queue.
-- P is the key prefix of the centre, "{cq:<name>}:"; every key lives in that one slot.

local RECHECK_MS = 60000 -- a closed lane is looked at again after this at the latest, so no lost signal closes it for ever

local function clock(override)
  if override ~= '' then return tonumber(override) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function lane_name(queue, task, key)
  if key and key ~= '' then return queue .. '/' .. task .. '#' .. key end
  return queue .. '/' .. task
end

local function queue_of(lane) return string.match(lane, '^([^/]+)') end
local function task_of(lane) return string.match(lane, '^[^/]+/([^#]+)') end

-- Events collect in a list and go out together: a line each, tab-separated, JSON detail last (JSON escapes tabs and newlines).
local function note(events, kind, subject, task, token, worker, reason, duration, detail)
  events[#events + 1] = table.concat({kind, subject, task, token or 0, worker or '', reason or '', duration or 0, detail or ''}, '\t')
end

local function publish(P, events)
  for first = 1, #events, 200 do
    redis.call('XADD', P .. 'ev', '*', 'e', table.concat(events, '\n', first, math.min(first + 199, #events)))
  end
end

local function serves(P, worker, queue)
  local queues = redis.call('HGET', P .. 'w:' .. worker, 'queues')
  return queues == '*' or (queues and string.find(queues, ',' .. queue .. ',', 1, true) ~= nil)
end

local function knows(P, worker, task) return redis.call('SISMEMBER', P .. 'knows:' .. worker, task) == 1 end

-- Wake up to `count` idle workers that can take a Run of this lane. The wake-up waits in a list: it cannot be missed.
local function wake(P, lane, count)
  local idle = redis.call('ZRANGE', P .. 'idle', 0, 63)
  for i = 1, #idle do
    if count <= 0 then return end
    if serves(P, idle[i], queue_of(lane)) and knows(P, idle[i], task_of(lane)) then
      redis.call('ZREM', P .. 'idle', idle[i])
      redis.call('RPUSH', P .. 'wake:' .. idle[i], 'work')
      count = count - 1
    end
  end
end

-- Put the lane's head score into its queue, or take the lane out when it is empty.
local function show_head(P, lane)
  local queue = P .. 'q:' .. queue_of(lane)
  local head = redis.call('ZRANGE', P .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
  if #head == 0 then
    redis.call('ZREM', queue, lane)
  else
    redis.call('ZADD', queue, head[2], lane)
  end
  return #head > 0
end

local function close_lane(P, lane, reason, until_ms, now, cause)
  redis.call('ZREM', P .. 'q:' .. queue_of(lane), lane)
  redis.call('ZADD', P .. 'closed', math.min(until_ms, now + RECHECK_MS), lane)
  redis.call('HSET', P .. 'why', lane, reason .. ' ' .. string.format('%.0f', until_ms))
  if cause then redis.call('SADD', P .. 'shut:' .. cause, lane) end
end

local function open_lane(P, lane)
  redis.call('ZREM', P .. 'closed', lane)
  redis.call('HDEL', P .. 'why', lane)
  if show_head(P, lane) then wake(P, lane, 1) end
end

local function open_shut(P, cause, count)
  local lanes = redis.call('SPOP', P .. 'shut:' .. cause, count)
  for i = 1, #lanes do open_lane(P, lanes[i]) end
  return #lanes
end

-- A Run takes its place among the waiting ones of its lane.
local function put_in_lane(P, lane, run, score)
  redis.call('ZADD', P .. 'lane:' .. lane, score, run)
  if redis.call('HEXISTS', P .. 'why', lane) == 0 then
    redis.call('ZADD', P .. 'q:' .. queue_of(lane), 'LT', score, lane)
  end
end

-- Strict priority (10 first), then age; a LIFO queue turns the age around. Ties are broken by the time-ordered id.
local function score_of(P, queue, priority, ms)
  if redis.call('HGET', P .. 'queues', queue) == 'lifo' then ms = 1e13 - ms end
  return string.format('%.0f', (10 - priority) * 1e13 + ms)
end

-- submission: id, task, queue, priority, params, delay_ms, due_ms, key, idempotency; at, schedule only for fires
local function create(P, now, events, s, at, schedule)
  local record = P .. 'r:' .. s[1]
  local known = redis.call('HMGET', record, 'task', 'params')
  if known[1] then
    if known[1] == s[2] and (known[2] or '') == s[5] then return 'duplicate' end
    return 'conflict'
  end
  if s[9] ~= '' then
    local key, body = string.match(s[9], '^(%S+) (%S+)$')
    local earlier = redis.call('GET', P .. 'idem:' .. key)
    if earlier then
      local run, known_body = string.match(earlier, '^(%S+) (%S+)$')
      return known_body == body and 'same ' .. run or 'conflict'
    end
    redis.call('SET', P .. 'idem:' .. key, s[1] .. ' ' .. body, 'PX', 86400000)
  end
  local due = tonumber(s[7])
  if tonumber(s[6]) > 0 then due = now + tonumber(s[6]) end
  local delayed = due > now
  local score = score_of(P, s[3], tonumber(s[4]), delayed and due or now)
  local f = {'task', s[2], 'state', delayed and 'delayed' or 'pending', 'score', score, 'created', now}
  local function field(name, value, default)
    if value ~= default then f[#f + 1] = name; f[#f + 1] = value end
  end
  field('queue', s[3], 'default'); field('prio', s[4], '5'); field('params', s[5], ''); field('key', s[8], '')
  if delayed then field('due', string.format('%.0f', due)); field('reason', 'scheduled') end
  if schedule then
    field('sched', schedule); field('at', at)
    redis.call('SADD', P .. 'active:' .. schedule, s[1])
  end
  redis.call('HSET', record, unpack(f))
  local detail = s[5]
  note(events, delayed and 'delayed' or 'pending', s[1], s[2], 0, '', delayed and 'scheduled' or '', 0, detail)
  if redis.call('HEXISTS', P .. 'queues', s[3]) == 0 then redis.call('HSET', P .. 'queues', s[3], 'fifo') end
  if delayed then
    redis.call('ZADD', P .. 'delayed', due, s[1])
  else
    put_in_lane(P, lane_name(s[3], s[2], s[8]), s[1], score)
  end
  return 'ok'
end

-- Everything a Run holds while it runs: its place with the worker, its concurrency slot, its GPUs.
local function let_go(P, run, worker, busy, gpus)
  redis.call('SREM', P .. 'own:' .. worker, run)
  if busy then
    redis.call('SREM', P .. 'busy:' .. busy, run)
    open_shut(P, 'busy/' .. busy, 2)
  end
  if gpus then
    for uuid in string.gmatch(gpus, '[^,]+') do redis.call('HDEL', P .. 'gpu:' .. uuid, run) end
  end
end

local function end_run(P, now, run, schedule, state)
  if schedule then redis.call('SREM', P .. 'active:' .. schedule, run) end
  redis.call('ZADD', P .. (state == 'dead' and 'dead' or 'done'), now, run)
end

-- Finished Runs beyond the number to keep leave, oldest first; dead letters never do.
local function forget_oldest(P, most)
  local keep = tonumber(redis.call('HGET', P .. 'meta', 'keep') or 10000)
  local excess = redis.call('ZCARD', P .. 'done') - keep
  if excess <= 0 then return 0 end
  local old = redis.call('ZPOPMIN', P .. 'done', math.min(excess, most))
  local keys = {}
  for i = 1, #old, 2 do
    keys[#keys + 1] = P .. 'r:' .. old[i]
    keys[#keys + 1] = P .. 'log:' .. old[i]
  end
  redis.call('UNLINK', unpack(keys))
  return #keys / 2
end

local function cancel_one(P, now, events, run, reason)
  local record = P .. 'r:' .. run
  local f = redis.call('HMGET', record, 'state', 'task', 'queue', 'key', 'worker', 'token', 'sched')
  local state = f[1]
  if not state then return 'gone' end
  if state == 'running' then
    redis.call('HSET', record, 'cancel', reason)
    redis.call('SADD', P .. 'cancels:' .. f[5], run)
    redis.call('RPUSH', P .. 'wake:' .. f[5], 'cancel')
    return 'cancelling'
  end
  if state == 'pending' then
    local lane = lane_name(f[3] or 'default', f[2], f[4])
    redis.call('ZREM', P .. 'lane:' .. lane, run)
    if redis.call('HEXISTS', P .. 'why', lane) == 0 then show_head(P, lane) end
  elseif state == 'delayed' then
    redis.call('ZREM', P .. 'delayed', run)
  else
    return 'ended'
  end
  redis.call('HSET', record, 'state', 'cancelled', 'reason', reason, 'ended', now)
  end_run(P, now, run, f[7], 'cancelled')
  note(events, 'cancelled', run, f[2], f[6], '', reason)
  return 'cancelled'
end
