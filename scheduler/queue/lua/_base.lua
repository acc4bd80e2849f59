-- Shared by all verbs: the clock, commands for many members, and events.
-- P is the key prefix of the centre, "{cq:<name>}:"; every key lives in that one slot.

local function clock(override)
  if override ~= '' then return tonumber(override) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A whole number as text: `..` would round it after 14 digits.
local function text(number) return string.format('%.0f', number) end

local function put(list, first, second)
  local n = #list
  list[n + 1], list[n + 2] = first, second
end

-- The whole number that a field of ours holds, as `text` writes it; nil for anything else.
local function whole(field)
  local number = tonumber(field or '')
  return number and number >= 0 and number < 1e15 and text(number) == field and number or nil
end

-- Some definition has changed: everybody reads them again.
local function next_generation(P)
  redis.call('HSET', P .. 'meta', 'generation', text((whole(redis.call('HGET', P .. 'meta', 'generation')) or 0) + 1))
end

-- Foreign data in the place of a key of ours steps aside, for a week.
local function set_aside(P, name)
  redis.call('RENAME', P .. name, P .. 'bad:' .. name)
  redis.call('EXPIRE', P .. 'bad:' .. name, 604800)
end

-- One command for many members, a thousand at a time: Lua cannot unpack more than a few thousand.
local function for_all(command, key, members)
  for first = 1, #members, 1000 do
    redis.call(command, key, unpack(members, first, math.min(first + 999, #members)))
  end
end

-- Events collect in a list and go out together: a line each, tab-separated, JSON detail last (JSON escapes tabs and newlines).
local function note(events, kind, subject, task, token, worker, reason, duration, detail)
  events[#events + 1] = kind .. '\t' .. subject .. '\t' .. task .. '\t' .. (token or 0) .. '\t' .. (worker or '') .. '\t'
    .. (reason or '') .. '\t' .. (duration or 0) .. '\t' .. (detail or '')
end

local MOST_DETAIL = 1024 -- bytes of a detail: the stream is bounded by its entries, and whoever needs more reads the Run

-- The beginning of a text, up to a whole character.
local function head(text)
  if #text <= MOST_DETAIL then return text end
  return string.match(string.sub(text, 1, MOST_DETAIL), '^(.*)[\1-\127\194-\244]')
end

-- Whatever stands in the place of the stream, an event is never lost.
local function publish(P, events)
  for first = 1, #events, 200 do
    local lines = table.concat(events, '\n', first, math.min(first + 199, #events))
    if type(redis.pcall('XADD', P .. 'ev', '*', 'e', lines)) == 'table' then
      set_aside(P, 'ev')
      redis.call('XADD', P .. 'ev', '*', 'e', lines)
    end
  end
end
