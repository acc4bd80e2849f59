-- What a schedule has fired, as one line: "next;fires;first-last,…". Closed ranges of instants keep it as short after a billion fires
-- as after one. The moment from which a schedule counts (it was added, resumed, or got another trigger) is a range of its own.
-- A fourth part, ";untold", stands there from a resume to the next fire: the instants between it and the resume passed while the
-- schedule was paused, and nobody was told of them yet.

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
  local fires, ranges, untold = string.match(redis.call('HGET', P .. 'fired', schedule) or '', '^%d+;(%d+);([^;]*);?(%d*)$')
  return parse_ranges(ranges or ''), tonumber(fires) or 0, tonumber(untold)
end

local function write_fired(P, schedule, next_ms, fires, ranges, untold)
  local line = string.format('%s;%.0f;%s', next_ms, fires, format_ranges(ranges))
  redis.call('HSET', P .. 'fired', schedule, untold and line .. ';' .. text(untold) or line)
end

-- No instant of this schedule up to this one is due any more.
local function begin_anew(P, instant, schedule)
  local ranges, fires = read_fired(P, schedule)
  if not has_fired(ranges, instant) then add_fired(ranges, instant, 0) end
  write_fired(P, schedule, '0', fires, ranges)
end

-- The same after a pause: the instants that passed meanwhile are to be told; the leader knows them.
local function go_on(P, instant, schedule)
  local ranges, fires, untold = read_fired(P, schedule)
  local newest = ranges[#ranges]
  if not untold and newest and newest[2] < instant then untold = newest[2] end
  if not has_fired(ranges, instant) then add_fired(ranges, instant, 0) end
  write_fired(P, schedule, '0', fires, ranges, untold)
end
