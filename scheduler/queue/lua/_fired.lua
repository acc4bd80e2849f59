-- What a schedule has fired, as one line: "next;fires;first-last,…". Closed ranges of instants keep it as short after a billion fires
-- as after one. The moment from which a schedule counts (it was added, resumed, or got another trigger) is a range of its own.

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

local function read_fired(P, schedule)
  local next_ms, fires, ranges = string.match(redis.call('HGET', P .. 'fired', schedule) or '', '^(%d+);(%d+);(.*)$')
  return parse_ranges(ranges or ''), tonumber(fires) or 0, next_ms or '0'
end

local function write_fired(P, schedule, next_ms, fires, ranges)
  redis.call('HSET', P .. 'fired', schedule, string.format('%s;%.0f;%s', next_ms, fires, format_ranges(ranges)))
end

-- From now on: no earlier instant of this schedule is due any more.
local function begin_anew(P, now, schedule)
  local ranges, fires = read_fired(P, schedule)
  if not has_fired(ranges, now) then add_fired(ranges, now, 0) end
  write_fired(P, schedule, '0', fires, ranges)
end
