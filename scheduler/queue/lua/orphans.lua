--[[ orphans: Runs still held by a fenced worker, for the rescuer to decide; a worker without any is forgotten.
A record that is not whole is foreign data: nobody could settle it, so it steps aside.
keys: the centre's prefix
args: now, worker, most
returns: {{{id, token, attempt, task, params, losses, crashes, at, started}}, {Runs whose record stepped aside}}
flags: allow-oom
]]
local function forget_worker(P, now, worker)
  redis.call('UNLINK', P .. 'w:' .. worker, P .. 'own:' .. worker, P .. 'wake:' .. worker, P .. 'knows:' .. worker, P .. 'cancels:' .. worker)
  redis.call('ZREM', P .. 'fenced', worker)
  redis.call('ZADD', P .. 'gone', now, worker)
  redis.call('ZREMRANGEBYRANK', P .. 'gone', 0, -1001)
end

local function orphans(keys, args)
  local P, worker, found, foreign = keys[1], args[2], {}, {}
  if not redis.call('ZSCORE', P .. 'fenced', worker) then return {found, foreign} end
  local runs = redis.call('SRANDMEMBER', P .. 'own:' .. worker, tonumber(args[3]))
  for _, run in ipairs(runs) do
    local claim, started = claim_held(P, run, worker)
    if claim then
      claim[#claim + 1] = started
      found[#found + 1] = claim
    else
      redis.call('SREM', P .. 'own:' .. worker, run)
      if claim == false then
        set_aside(P, 'r:' .. run)
        foreign[#foreign + 1] = run
      end
    end
  end
  if #runs == 0 then forget_worker(P, clock(args[1]), worker) end
  return {found, foreign}
end
