--[[ repair: Runs regain the places that their own records tell of; for when foreign data stood where an index belongs.
keys: the centre's prefix
args: now, then Runs
returns: ok
flags: allow-oom
]]
-- Whoever runs it must have a lease, or be fenced: then it is rescued.
local function repair_running(step, run, worker, group, told)
  local P = step.P
  redis.call('SADD', P .. 'own:' .. worker, run)
  if group then redis.call('SADD', P .. 'busy:' .. group, run) end
  if told then redis.call('SADD', P .. 'cancels:' .. worker, run) end
  if not redis.call('ZSCORE', P .. 'leases', worker) then fence(P, step.now, worker) end
end

local function repair_one(step, run)
  local P, record = step.P, step.P .. 'r:' .. run
  local state, task, queue, key, score, due, ended, schedule =
    unpack(redis.call('HMGET', record, 'state', 'task', 'queue', 'key', 'score', 'due', 'ended', 'sched'))
  if not (state and task) then return end
  order_of(step, queue or 'default')
  local over = state ~= 'pending' and state ~= 'delayed' and state ~= 'running'
  if schedule and not over then redis.call('SADD', P .. 'active:' .. schedule, run) end
  if state == 'pending' then
    line_up(step, lane_name(queue or 'default', task, key), run, whole(score) and score or step.stamp)
  elseif state == 'delayed' then
    redis.call('ZADD', P .. 'delayed', 'NX', whole(due) or step.now, run)
  elseif state == 'running' then
    repair_running(step, run, unpack(redis.call('HMGET', record, 'worker', 'busy', 'cancel')))
  else
    redis.call('ZADD', P .. (state == 'dead' and 'dead' or 'done'), 'NX', whole(ended) or step.now, run)
  end
end

local function repair_all(step, args)
  for i = 2, #args do repair_one(step, args[i]) end
  return 'ok'
end

local function repair(keys, args) return in_step(repair_all, keys, args) end
