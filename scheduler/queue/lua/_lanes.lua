-- Lanes: a queue is a sorted set of open lanes, a lane a sorted set of the waiting Runs of one task (or task and concurrency key).
-- A closed lane is in `closed` (when to look at it again); `why` tells "reason until cause". Where something has to end before it may
-- open, that is the cause, and `shut:<cause>` lists the lane. A lane without Runs is neither open nor closed.

local MOST_IDLE = 1000 -- idle workers that one wake-up passes over
local RECHECK_MS = 60000 -- a closed lane is looked at again after this at the latest, so no lost signal closes it for ever

local function lane_name(queue, task, key)
  if key and key ~= '' then return queue .. '/' .. task .. '#' .. key end
  return queue .. '/' .. task
end

local function queue_and_task(lane) return string.match(lane, '^([^/]+)/([^#]+)') end

local function queue_of(lane) return string.match(lane, '^([^/]+)') end

-- What a concurrency limit counts: the Runs of a task, or of a task and key, over all queues.
local function group_of(lane) return string.match(lane, '/(.*)$') end

local function serves(P, worker, queue)
  local queues = redis.call('HGET', P .. 'w:' .. worker, 'queues')
  return queues == '*' or (queues and string.find(queues, ',' .. queue .. ',', 1, true) ~= nil)
end

local function knows(P, worker, task) return redis.call('SISMEMBER', P .. 'knows:' .. worker, task) == 1 end

-- Wake up to `count` idle workers that can take a Run of this lane. The wake-up waits in a list: it cannot be missed.
local function wake(P, lane, count)
  local queue, task = queue_and_task(lane)
  local passed, idle = 0, nil
  repeat
    idle = redis.call('ZRANGE', P .. 'idle', passed, passed + 63)
    for i = 1, #idle do
      if count <= 0 then return end
      if serves(P, idle[i], queue) and knows(P, idle[i], task) then
        redis.call('ZREM', P .. 'idle', idle[i])
        redis.call('RPUSH', P .. 'wake:' .. idle[i], 'work')
        count = count - 1
      else
        passed = passed + 1
      end
    end
  until #idle < 64 or passed >= MOST_IDLE
end

-- Put the lane's head score into its queue, or take the lane out when it is empty.
local function show_head(P, lane)
  local head = redis.call('ZRANGE', P .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
  if #head == 0 then
    redis.call('ZREM', P .. 'q:' .. queue_of(lane), lane)
  else
    redis.call('ZADD', P .. 'q:' .. queue_of(lane), head[2], lane)
  end
  return #head > 0
end

local function is_closed(P, lane) return redis.call('ZSCORE', P .. 'closed', lane) ~= false end

local function close_lane(step, lane, reason, until_ms, cause)
  local P = step.P
  redis.call('ZREM', P .. 'q:' .. queue_of(lane), lane)
  redis.call('ZADD', P .. 'closed', math.min(until_ms, step.now + RECHECK_MS), lane)
  redis.call('HSET', P .. 'why', lane, string.gsub(reason, '%s', '_') .. ' ' .. text(until_ms) .. (cause and ' ' .. cause or ''))
  if cause then redis.call('SADD', P .. 'shut:' .. cause, lane) end
end

local function open_lane(P, lane)
  local cause = string.match(redis.call('HGET', P .. 'why', lane) or '', '^%S+ %S+ (.+)$')
  if cause then redis.call('SREM', P .. 'shut:' .. cause, lane) end
  redis.call('ZREM', P .. 'closed', lane)
  redis.call('HDEL', P .. 'why', lane)
  if show_head(P, lane) then wake(P, lane, 1) end
end

-- A cause has ended: the lanes that it closed open.
local function open_shut(P, cause)
  local lanes = redis.call('SPOP', P .. 'shut:' .. cause, 200)
  table.sort(lanes) -- a set has no order, but who is woken first should not be left to chance
  for i = 1, #lanes do open_lane(P, lanes[i]) end
  return #lanes
end

-- A Run will take its place in its lane at the end of this step.
local function line_up(step, lane, run, score)
  local places = step.lanes[lane]
  if not places then
    places = {best = math.huge}
    step.lanes[lane] = places
    step.lanes[#step.lanes + 1] = lane
  end
  put(places, score, run)
  places.best = math.min(places.best, tonumber(score))
end

local function fill_lane(P, lane, places)
  for_all('ZADD', P .. 'lane:' .. lane, places)
  if is_closed(P, lane) then return end
  redis.call('ZADD', P .. 'q:' .. queue_of(lane), 'LT', places.best, lane)
  wake(P, lane, #places / 2)
end

-- A Run left its lane unclaimed.
local function leave_lane(P, lane, run)
  redis.call('ZREM', P .. 'lane:' .. lane, run)
  if not is_closed(P, lane) then
    show_head(P, lane)
  elseif redis.call('EXISTS', P .. 'lane:' .. lane) == 0 then
    open_lane(P, lane)
  end
end
