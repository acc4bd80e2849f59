--[[ fire: due instants of schedules become Runs, each (schedule, instant) at most once for ever.
keys: the centre's prefix
args: now, epoch, then per fire: schedule, instant, previous (0 = none), next (0 = never), overlap, max_instances, missed, missed_reason,
      make_run (1|0), and the Run: id, task, queue, priority, params, delay_ms, key
returns: per fire: ok | duplicate | overlap | future (later than the server's clock) | missed (make_run was 0) | paused | gone (removed);
         or {stale} for all
flags:
]]
local function overlaps(P, now, events, f)
  local active = redis.call('SCARD', P .. 'active:' .. f[1])
  if f[5] == 'allow' then return active >= tonumber(f[6]) end
  if f[5] == 'skip' then return active >= 1 end
  if f[5] == 'queue_one' then return active >= 2 end
  local running = redis.call('SRANDMEMBER', P .. 'active:' .. f[1], 200)
  for i = 1, #running do cancel_one(P, now, events, running[i], 'overlap') end
  return false
end

local function fire_one(P, now, events, f)
  local instant = tonumber(f[2])
  if instant > now + 1000 then return 'future' end
  if redis.call('HEXISTS', P .. 'schedules', f[1]) == 0 then return 'gone' end
  if redis.call('SISMEMBER', P .. 'paused', 'schedule/' .. f[1]) == 1 then return 'paused' end
  local ranges, fires = read_fired(P, f[1])
  if has_fired(ranges, instant) then return 'duplicate' end
  add_fired(ranges, instant, tonumber(f[3]))
  write_fired(P, f[1], f[4], fires + tonumber(f[9]), ranges)
  if f[7] ~= '0' then
    note(events, 'missed', f[1], f[11], 0, '', f[8], 0, '{"count":' .. f[7] .. ',"until":' .. f[2] .. '}')
  end
  if f[9] == '0' then return 'missed' end
  if overlaps(P, now, events, f) then
    note(events, 'skipped', f[1], f[11], 0, '', 'overlap', 0, '{"instant":' .. f[2] .. '}')
    return 'overlap'
  end
  local answer = create(P, now, events, {f[10], f[11], f[12], f[13], f[14], f[15], '0', f[16], ''}, f[2], f[1])
  return answer == 'conflict' and 'duplicate' or answer
end

local function fire(keys, args)
  local P, now, events, answers, lanes = keys[1], clock(args[1]), {}, {}, {}
  if redis.call('HGET', P .. 'lead', 'epoch') ~= args[2] then return {'stale'} end
  for i = 3, #args, 16 do
    local f = {unpack(args, i, i + 15)}
    local answer = fire_one(P, now, events, f)
    answers[#answers + 1] = answer
    if answer == 'ok' and f[15] == '0' then
      local lane = lane_name(f[12], f[11], f[16])
      lanes[lane] = (lanes[lane] or 0) + 1
    end
  end
  publish(P, events)
  for lane, count in pairs(lanes) do wake(P, lane, count) end
  return answers
end
