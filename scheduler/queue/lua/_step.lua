-- A step is one call of a verb. What concerns many Runs is collected on the way and written at its end with one command each;
-- then its events are published. Both also happen when the step breaks off, so what was begun is neither half done nor untold.

local function new_step(P, now)
  return {
    P = P, now = now, stamp = text(now),
    events = {},
    lanes = {}, -- {lane, …}, and lane → {score, run, …}
    freed = {}, -- worker → {run, …} that it no longer holds
    ended = {}, -- done | dead → {when, run, …}
  }
end

-- Each of the writes is tried, whatever becomes of the others.
local function flush(step)
  local P, failure = step.P, nil
  local function try(action, ...)
    local ok, why = pcall(action, ...)
    if not ok then failure = failure or why end
  end
  for worker, runs in pairs(step.freed) do try(for_all, 'SREM', P .. 'own:' .. worker, runs) end
  for index, runs in pairs(step.ended) do try(for_all, 'ZADD', P .. index, runs) end
  for _, lane in ipairs(step.lanes) do try(fill_lane, P, lane, step.lanes[lane]) end
  step.freed, step.ended, step.lanes = {}, {}, {}
  if failure then error(failure) end
end

-- Every verb that changes Runs is such a body.
local function in_step(body, keys, args)
  local step = new_step(keys[1], clock(args[1]))
  local ok, answer = pcall(body, step, args)
  local flushed, failure = pcall(flush, step)
  publish(step.P, step.events)
  if not ok then error(answer) end
  if not flushed then error(failure) end
  return answer
end
