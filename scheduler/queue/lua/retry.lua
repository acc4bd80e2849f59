--[[ retry: a Run that failed, died or was cancelled starts over with a fresh budget, under its own id.
keys: the centre's prefix
args: now, run
returns: ok | succeeded | active (it has not ended) | gone
flags:
]]
local function retry(keys, args)
  local P, now, run, events = keys[1], clock(args[1]), args[2], {}
  local record = P .. 'r:' .. run
  local f = redis.call('HMGET', record, 'state', 'task', 'queue', 'key', 'prio', 'token', 'sched')
  if not f[1] then return 'gone' end
  if f[1] == 'succeeded' then return 'succeeded' end
  if f[1] ~= 'failed' and f[1] ~= 'dead' and f[1] ~= 'cancelled' then return 'active' end
  redis.call('ZREM', P .. 'done', run)
  redis.call('ZREM', P .. 'dead', run)
  redis.call('HDEL', record, 'att', 'losses', 'crashes', 'error', 'result', 'ended', 'cancel', 'due', 'busy', 'gpu')
  local queue = f[3] or 'default'
  local score = score_of(P, queue, tonumber(f[5] or 5), now)
  redis.call('HSET', record, 'state', 'pending', 'reason', 'retry', 'score', score)
  if f[7] then redis.call('SADD', P .. 'active:' .. f[7], run) end
  local lane = lane_name(queue, f[2], f[4])
  put_in_lane(P, lane, run, score)
  note(events, 'pending', run, f[2], f[6], '', 'retry')
  publish(P, events)
  wake(P, lane, 1)
  return 'ok'
end
