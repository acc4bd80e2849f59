--[[ fire: due instants of schedules become Runs, each (schedule, instant) at most once for ever.
keys: the centre's prefix
args: now, epoch, then per fire: schedule, instant, previous (0 = none), next (0 = never), overlap, max_instances, missed, missed_reason,
      make_run (1|0), and the Run: id, task, queue, priority, params, delay_ms, key
returns: per fire: ok | duplicate | overlap | future (later than the server's clock) | missed (make_run was 0) | paused | gone (removed);
         or {stale} for all
flags:
]]
local function overlaps(step, f)
  local active = redis.call('SCARD', step.P .. 'active:' .. f[1])
  if f[5] == 'allow' then return active >= tonumber(f[6]) end
  if f[5] == 'skip' then return active >= 1 end
  if f[5] == 'queue_one' then return active >= 2 end
  local running = redis.call('SRANDMEMBER', step.P .. 'active:' .. f[1], 200)
  flush(step) -- one of them may have entered in this very step
  for i = 1, #running do cancel_one(step, running[i], 'overlap') end
  return false
end

local function fire_one(step, f)
  local P, instant = step.P, tonumber(f[2])
  if instant > step.now + 1000 then return 'future' end
  if redis.call('HEXISTS', P .. 'schedules', f[1]) == 0 then return 'gone' end
  if redis.call('SISMEMBER', P .. 'paused', 'schedule/' .. f[1]) == 1 then return 'paused' end
  local ranges, fires = read_fired(P, f[1])
  if has_fired(ranges, instant) then return 'duplicate' end
  local answer = 'missed'
  if f[9] == '1' then
    answer = overlaps(step, f) and 'overlap' or create(step, f[10], f[11], f[12], f[13], f[14], f[15], '0', f[16], '', f[2], f[1])
  end
  add_fired(ranges, instant, tonumber(f[3]))
  write_fired(P, f[1], f[4], fires + tonumber(f[9]), ranges)
  if f[7] ~= '0' then
    note(step.events, 'missed', f[1], f[11], 0, '', f[8], 0, '{"count":' .. f[7] .. ',"until":' .. f[2] .. '}')
  end
  if answer == 'overlap' then note(step.events, 'skipped', f[1], f[11], 0, '', 'overlap', 0, '{"instant":' .. f[2] .. '}') end
  return answer == 'conflict' and 'duplicate' or answer
end

local function fire_all(step, args)
  if redis.call('HGET', step.P .. 'lead', 'epoch') ~= args[2] then return {'stale'} end
  local answers = {}
  for i = 3, #args, 16 do answers[#answers + 1] = fire_one(step, {unpack(args, i, i + 15)}) end
  return answers
end

local function fire(keys, args) return in_step(fire_all, keys, args) end
