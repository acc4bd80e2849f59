--[[ fire: due instants of schedules become Runs, each (schedule, instant) at most once for ever.
What has fired is kept per schedule as a few closed ranges of instants, so the memory is the same after one fire and after a billion.
keys: the centre's prefix
args: now, epoch, then per fire: schedule, instant, previous (0 = none), next (0 = never), overlap, max_instances, missed, missed_reason,
      make_run (1|0), and the Run: id, task, queue, priority, params, delay_ms, key
returns: per fire: ok | duplicate | overlap | future (later than the server's clock) | missed (make_run was 0); or {stale} for all
flags:
]]
local MAX_RANGES = 8

-- ranges: {{first, last}, …} in order of time
local function parse_ranges(text)
  local ranges = {}
  for first, last in string.gmatch(text, '(%d+)%-(%d+)') do ranges[#ranges + 1] = {tonumber(first), tonumber(last)} end
  return ranges
end

local function format_ranges(ranges)
  local parts = {}
  for i = 1, #ranges do parts[i] = string.format('%.0f-%.0f', ranges[i][1], ranges[i][2]) end
  return table.concat(parts, ',')
end

local function has_fired(ranges, instant)
  for i = #ranges, 1, -1 do
    if instant >= ranges[i][1] and instant <= ranges[i][2] then return true end
  end
  return false
end

-- Instants between two neighbours of one range were never due, so the pair joins; after a step of the clock a new range begins.
local function add_fired(ranges, instant, previous)
  for i = 1, #ranges do
    if previous > 0 and ranges[i][2] == previous then
      ranges[i][2] = instant
      return
    end
  end
  local place = #ranges + 1
  while place > 1 and ranges[place - 1][1] > instant do place = place - 1 end
  table.insert(ranges, place, {instant, instant})
  if #ranges > MAX_RANGES then
    ranges[1][2] = ranges[2][2] -- the gap between the two oldest counts as fired: rather never than twice
    table.remove(ranges, 2)
  end
end

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
  local record = redis.call('HGET', P .. 'fired', f[1])
  local ranges = record and parse_ranges(string.match(record, ';(.*)')) or {}
  if has_fired(ranges, instant) then return 'duplicate' end
  add_fired(ranges, instant, tonumber(f[3]))
  redis.call('HSET', P .. 'fired', f[1], f[4] .. ';' .. format_ranges(ranges))
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
