--[[ stats: the centre's numbers now.
keys: the centre's prefix
args: now, most (lanes to look at per queue)
returns: {now, delayed, done, dead, {queue, paused (0|1), order, {lane, depth, head score, …}, …}, {closed lane, 'reason until', depth, …},
         {worker, lease until, running, …}}
flags: no-writes
]]
local function stats(keys, args)
  local P, now, most = keys[1], clock(args[1]), tonumber(args[2])
  local queues, closed, workers = {}, {}, {}
  local known = redis.call('HGETALL', P .. 'queues')
  for i = 1, #known, 2 do
    local lanes, heads = {}, redis.call('ZRANGE', P .. 'q:' .. known[i], 0, most - 1, 'WITHSCORES')
    for j = 1, #heads, 2 do
      lanes[#lanes + 1] = heads[j]
      lanes[#lanes + 1] = redis.call('ZCARD', P .. 'lane:' .. heads[j])
      lanes[#lanes + 1] = redis.call('ZRANGE', P .. 'lane:' .. heads[j], 0, 0)[1] or ''
    end
    queues[#queues + 1] = known[i]
    queues[#queues + 1] = redis.call('SISMEMBER', P .. 'paused', 'queue/' .. known[i])
    queues[#queues + 1] = known[i + 1]
    queues[#queues + 1] = lanes
  end
  local shut = redis.call('ZRANGE', P .. 'closed', 0, most - 1)
  for i = 1, #shut do
    closed[#closed + 1] = shut[i]
    closed[#closed + 1] = redis.call('HGET', P .. 'why', shut[i]) or ''
    closed[#closed + 1] = redis.call('ZCARD', P .. 'lane:' .. shut[i])
    closed[#closed + 1] = redis.call('ZRANGE', P .. 'lane:' .. shut[i], 0, 0)[1] or ''
  end
  local leases = redis.call('ZRANGE', P .. 'leases', 0, most - 1, 'WITHSCORES')
  for i = 1, #leases, 2 do
    workers[#workers + 1] = leases[i]
    workers[#workers + 1] = tonumber(leases[i + 1])
    workers[#workers + 1] = redis.call('SCARD', P .. 'own:' .. leases[i])
  end
  return {now, redis.call('ZCARD', P .. 'delayed'), redis.call('ZCARD', P .. 'done'), redis.call('ZCARD', P .. 'dead'), queues, closed, workers}
end
