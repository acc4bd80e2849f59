--[[ report: progress of a running Run, if the token is still its own.
keys: the centre's prefix
args: now, run, token, percent, message
returns: ok | fenced
flags: allow-oom
]]
local function report_step(step, args)
  local run, token, percent, message = unpack(args, 2)
  local record = step.P .. 'r:' .. run
  local held, state, task, worker, before, said = unpack(redis.call('HMGET', record, 'token', 'state', 'task', 'worker', 'prog', 'note'))
  if held ~= token or state ~= 'running' then return 'fenced' end
  if before ~= percent or said ~= message then
    redis.call('HSET', record, 'prog', percent, 'note', message)
    note(step.events, 'progress', run, task, token, worker, '', 0, percent)
  end
  return 'ok'
end

local function report(keys, args) return in_step(report_step, keys, args) end
