--[[ order: how a queue orders Runs of the same priority, from the next submit on.
keys: the centre's prefix
args: now, queue, order (fifo | lifo)
returns: ok
flags:
]]
local function order(keys, args)
  redis.call('HSET', keys[1] .. 'queues', args[2], args[3])
  return 'ok'
end
