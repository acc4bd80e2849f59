-- Settling: what becomes of a claimed Run. Only the word that carries the Run's newest token counts.

-- What is held against a Run, and whether the attempt counts.
local function charge(fields, record, burn, strike)
  local f = redis.call('HMGET', record, 'spared', 'losses', 'crashes')
  if burn == '0' then put(fields, 'spared', (whole(f[1]) or 0) + 1) end
  if strike == 'loss' then put(fields, 'losses', (whole(f[2]) or 0) + 1) end
  if strike == 'crash' then put(fields, 'crashes', (whole(f[3]) or 0) + 1) end
end

-- The Run will run again: at once, or after a delay. A closed gate closes its lane for a while.
local function send_back(step, fields, run, record, task, state, reason, delay_ms, shut_ms)
  local f = redis.call('HMGET', record, 'queue', 'key', 'score')
  if state == 'delayed' then
    local due = step.now + delay_ms
    put(fields, 'due', text(due))
    put(fields, 'delay', delay_ms)
    redis.call('ZADD', step.P .. 'delayed', due, run)
    return
  end
  local lane = lane_name(f[1] or 'default', task, f[2])
  if shut_ms ~= '0' and not is_closed(step.P, lane) then
    close_lane(step, lane, reason ~= '' and reason or 'gate', step.now + shut_ms)
  end
  line_up(step, lane, run, whole(f[3]) and f[3] or step.stamp)
end

-- What an event tells of an error: its type and message.
local function gist(failure)
  local ok, f = pcall(cjson.decode, failure)
  if not ok or type(f) ~= 'table' or type(f.type) ~= 'string' or type(f.message) ~= 'string' then return head(failure) end
  return cjson.encode({type = head(f.type), message = head(f.message)})
end

local function settle_one(step, run, token, state, reason, delay_ms, burn, strike, result, failure, duration_ms, shut_ms)
  local P, record = step.P, step.P .. 'r:' .. run
  local was, held, task, worker, because, group, cards, told, schedule =
    unpack(redis.call('HMGET', record, 'state', 'token', 'task', 'worker', 'reason', 'busy', 'gpu', 'cancel', 'sched'))
  if not was then return 'gone' end
  if held ~= token then return 'fenced' end
  if was ~= 'running' then return 'done' end
  if not (task and worker) then return 'gone' end -- no record of ours
  local over = state ~= 'pending' and state ~= 'delayed'
  if told and not over then state, reason, over = 'cancelled', told, true end
  if told then redis.call('SREM', P .. 'cancels:' .. worker, run) end
  if group or cards then let_go(P, run, record, group, cards) end
  local fields = {'state', state}
  if reason ~= (because or '') then put(fields, 'reason', reason) end
  if burn == '0' or strike ~= '' then charge(fields, record, burn, strike) end
  if result ~= '' then put(fields, 'result', result) end
  if failure ~= '' then put(fields, 'error', failure) end
  if over then
    put(fields, 'ended', step.stamp)
    end_run(step, run, schedule, state)
  else
    send_back(step, fields, run, record, task, state, reason, delay_ms, shut_ms)
  end
  if state == 'succeeded' and token ~= '1' then redis.call('HDEL', record, 'error') end -- that of an earlier attempt
  redis.call('HSET', record, unpack(fields))
  step.freed[worker] = step.freed[worker] or {}
  table.insert(step.freed[worker], run)
  note(step.events, state, run, task, token, worker, reason, duration_ms, failure ~= '' and gist(failure) or head(result))
  return 'ok'
end
