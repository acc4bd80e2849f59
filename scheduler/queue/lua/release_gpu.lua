--[[ release_gpu: the cards of a Run are free again; harmless when it holds none.
keys: the centre's prefix
args: now, run
returns: ok
flags: allow-oom
]]
local function release_gpu(keys, args)
  local record = keys[1] .. 'r:' .. args[2]
  for uuid in string.gmatch(redis.call('HGET', record, 'gpu') or '', '[^,]+') do
    redis.call('HDEL', keys[1] .. 'gpu:' .. uuid, args[2])
  end
  redis.call('HDEL', record, 'gpu')
  return 'ok'
end
