--[[ purge: waiting Runs of a lane are cancelled, or dead letters deleted, up to `most` of them; call again until 0.
keys: the centre's prefix
args: now, what (lane | dead), name (the lane; for dead: '' = all, or one Run), most, reason (of what is cancelled)
returns: how many
flags: allow-oom
]]
local function purge_lane(step, lane, most, reason)
  local runs, count = redis.call('ZRANGE', step.P .. 'lane:' .. lane, 0, most - 1), 0
  for i = 1, #runs do
    if cancel_one(step, runs[i], reason) == 'cancelled' then count = count + 1 end
  end
  return count
end

local function purge_dead(P, run, most)
  local dead = run ~= '' and {run} or redis.call('ZRANGE', P .. 'dead', 0, most - 1)
  if run ~= '' and not redis.call('ZSCORE', P .. 'dead', run) then dead = {} end
  forget(P, dead)
  for_all('ZREM', P .. 'dead', dead)
  return #dead
end

local function purge_step(step, args)
  local what, name, most = args[2], args[3], tonumber(args[4])
  return what == 'lane' and purge_lane(step, name, most, args[5]) or purge_dead(step.P, name, most)
end

local function purge(keys, args) return in_step(purge_step, keys, args) end
