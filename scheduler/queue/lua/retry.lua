--[[ retry: a Run that failed, died or was cancelled starts over with a fresh budget, under its own id.
keys: the centre's prefix
args: now, run
returns: ok (also when it waits for its new start already) | succeeded | active (it has not ended) | gone
flags:
]]
local function start_over(step, args)
  local P, run = step.P, args[2]
  local record = P .. 'r:' .. run
  local state, reason, task, queue, key, priority, token, schedule =
    unpack(redis.call('HMGET', record, 'state', 'reason', 'task', 'queue', 'key', 'prio', 'token', 'sched'))
  if not state then return 'gone' end
  if state == 'pending' and reason == 'retry' then return 'ok' end
  if state == 'succeeded' then return 'succeeded' end
  if state ~= 'failed' and state ~= 'dead' and state ~= 'cancelled' then return 'active' end
  local score = score_of(step, queue or 'default', whole(priority) or 5, step.now)
  redis.call('ZREM', P .. 'done', run)
  redis.call('ZREM', P .. 'dead', run)
  if schedule then redis.call('SADD', P .. 'active:' .. schedule, run) end
  redis.call('HDEL', record, 'losses', 'crashes', 'error', 'result', 'ended', 'cancel', 'due', 'delay', 'prog', 'note')
  redis.call('HSET', record, 'state', 'pending', 'reason', 'retry', 'score', score, 'spared', token or 0)
  line_up(step, lane_name(queue or 'default', task, key), run, score)
  note(step.events, 'pending', run, task, token, '', 'retry')
  return 'ok'
end

local function retry(keys, args) return in_step(start_over, keys, args) end
