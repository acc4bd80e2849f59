--[[ fire: due instants of schedules become Runs, each (schedule, instant) at most once for ever.
keys: the centre's prefix
args: now, epoch, then per fire: schedule, instant, previous (0 = none), next (0 = never), overlap, max_instances, missed, missed_reason,
      make_run (1|0), and the Run: id, task, queue, priority, params, delay_ms, key
returns: per fire: ok | duplicate | overlap | future (later than the server's clock) | missed (make_run was 0) | paused | gone (removed);
         or {stale} for all
flags:
]]
local UNFINISHED = {pending = true, delayed = true, running = true}
local MOST_ACTIVE = {skip = 0, queue_one = 1}

-- Whether a schedule has more than `most` unfinished Runs. Before that is said, what is no such Run is put out of the count.
local function has_more_than(P, schedule, most)
  local key = P .. 'active:' .. schedule
  if redis.call('SCARD', key) <= most then return false end
  for _, run in ipairs(redis.call('SRANDMEMBER', key, 200)) do
    if not UNFINISHED[redis.call('HGET', P .. 'r:' .. run, 'state')] then redis.call('SREM', key, run) end
  end
  return redis.call('SCARD', key) > most
end

local function overlaps(step, f)
  local schedule, overlap = f[1], f[5]
  if overlap ~= 'replace' then return has_more_than(step.P, schedule, MOST_ACTIVE[overlap] or tonumber(f[6]) - 1) end
  local active = redis.call('SRANDMEMBER', step.P .. 'active:' .. schedule, 200)
  flush(step) -- one of them may have entered in this very step
  for i = 1, #active do cancel_one(step, active[i], 'overlap') end
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
