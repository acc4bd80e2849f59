--[[ cancel: a waiting Run ends now; a running one is told to stop.
keys: the centre's prefix
args: now, run, reason
returns: cancelled | cancelling (its worker was told) | ended (too late) | gone
flags: allow-oom
]]
local function cancel_step(step, args) return cancel_one(step, args[2], args[3]) end

local function cancel(keys, args) return in_step(cancel_step, keys, args) end
