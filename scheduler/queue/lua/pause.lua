--[[ pause: a task's or a queue's Runs wait, a schedule does not fire; `resume` undoes it, and a schedule then counts from that moment.
keys: the centre's prefix
args: now, kind (task | queue | schedule), name, on (1 pause | 0 resume)
returns: ok | same (it was so already)
flags: allow-oom
]]
local function pause_task(P, task, on)
  if on then
    redis.call('HSET', P .. 'task:' .. task, 'paused', 1)
    return
  end
  redis.call('HDEL', P .. 'task:' .. task, 'paused')
  for _ = 1, 10 do
    if open_shut(P, 'task/' .. task) == 0 then break end
  end
end

local function pause_queue(P, queue, on)
  local lane = redis.call('ZRANGE', P .. 'q:' .. queue, 0, 0)[1]
  if lane and not on then wake(P, lane, 64) end
end

local function pause_step(step, args)
  local P, kind, name, on = step.P, args[2], args[3], args[4] == '1'
  local changed = redis.call(on and 'SADD' or 'SREM', P .. 'paused', kind .. '/' .. name) == 1
  if kind == 'task' then
    pause_task(P, name, on)
  elseif kind == 'queue' then
    pause_queue(P, name, on)
  else
    if changed and not on then go_on(P, step.now - 1, name) end
    next_generation(P)
  end
  if not changed then return 'same' end
  note(step.events, on and 'paused' or 'resumed', name, '', 0, '', kind)
  return 'ok'
end

local function pause(keys, args) return in_step(pause_step, keys, args) end
