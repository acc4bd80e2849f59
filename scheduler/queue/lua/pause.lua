--[[ pause: a task's or a queue's Runs wait, a schedule does not fire; `resume` undoes it, and a schedule then counts from that moment.
keys: the centre's prefix
args: now, kind (task | queue | schedule), name, on (1 pause | 0 resume)
returns: ok | same (it was so already)
flags: allow-oom
]]
local function pause(keys, args)
  local P, kind, name, on, events = keys[1], args[2], args[3], args[4] == '1', {}
  local changed = redis.call(on and 'SADD' or 'SREM', P .. 'paused', kind .. '/' .. name)
  if kind == 'task' then
    if on then redis.call('HSET', P .. 'task:' .. name, 'paused', 1) else redis.call('HDEL', P .. 'task:' .. name, 'paused') end
    if not on then
      for _ = 1, 10 do
        if open_shut(P, 'task/' .. name, 200) == 0 then break end
      end
    end
  elseif kind == 'queue' then
    local lane = redis.call('ZRANGE', P .. 'q:' .. name, 0, 0)[1]
    if lane and not on then wake(P, lane, 64) end
  else
    if not on and changed == 1 then begin_anew(P, clock(args[1]), name) end
    redis.call('HINCRBY', P .. 'meta', 'generation', 1)
  end
  if changed == 0 then return 'same' end
  note(events, on and 'paused' or 'resumed', name, '', 0, '', kind)
  publish(P, events)
  return 'ok'
end
