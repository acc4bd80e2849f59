--[[ turn: a worker's whole conversation in one step: settle what has ended, then claim Runs for the free slots.
keys: the centre's prefix
args: now, worker ('' = the rescuer, which claims nothing), nonce, free slots (default, processpool, asyncio), then per settlement: id, token, state, reason, delay_ms, burn (1|0),
      strike (''|loss|crash), result, error, duration_ms, close_lane_ms
returns: {status, {answer per settlement: ok | done (a replay) | fenced | gone}, {claims: {id, token, attempt, task, params, losses, crashes, at}}}
         status: ok | fenced (this worker's lease was lost: it owns nothing any more)
flags: allow-oom
]]

-- The last turn once more, for a worker whose reply was lost.
local function repeat_turn(P, worker)
  local last, answers, claims = redis.call('HMGET', P .. 'w:' .. worker, 'answers', 'claimed'), {}, {}
  for answer in string.gmatch(last[1], '%S+') do answers[#answers + 1] = answer end
  for run in string.gmatch(last[2], '%S+') do
    claims[#claims + 1] = claim_held(P, run, worker) or nil
  end
  return {'ok', answers, claims}
end

local function remember_turn(P, worker, nonce, answers, claims)
  local runs = {}
  for i = 1, #claims do runs[i] = claims[i][1] end
  redis.call('HSET', P .. 'w:' .. worker, 'nonce', nonce, 'answers', table.concat(answers, ' '), 'claimed', table.concat(runs, ' '))
end

local function converse(step, args)
  local P, worker, nonce, answers, claims, wanted = step.P, args[2], args[3], {}, {}, nil
  local free = {default = tonumber(args[4]), processpool = tonumber(args[5]), asyncio = tonumber(args[6])}
  if worker ~= '' then
    local last
    wanted, last = unpack(redis.call('HMGET', P .. 'w:' .. worker, 'queues', 'nonce'))
    if not wanted or not redis.call('ZSCORE', P .. 'leases', worker) then return {'fenced', answers, claims} end
    if last == nonce then return repeat_turn(P, worker) end
  end
  for i = 7, #args, 11 do
    answers[#answers + 1] = settle_one(step, unpack(args, i, i + 10))
  end
  if #answers > 0 then flush(step) end -- what was settled may be claimed again
  if wanted and free.default + free.processpool + free.asyncio > 0 then claims = claim(step, worker, wanted, free) end
  if #step.events > 0 then forget_oldest(P, 2 * #answers + 10) end
  if wanted and #answers + #claims > 0 then remember_turn(P, worker, nonce, answers, claims) end
  return {'ok', answers, claims}
end

local function turn(keys, args) return in_step(converse, keys, args) end
