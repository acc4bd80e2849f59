--[[ cancel: a waiting Run ends now; a running one is told to stop.
keys: the centre's prefix
args: now, run, reason
returns: cancelled | cancelling (its worker was told) | ended (too late) | gone
flags: allow-oom
]]
local function cancel(keys, args)
  local events = {}
  local answer = cancel_one(keys[1], clock(args[1]), events, args[2], args[3])
  publish(keys[1], events)
  return answer
end
