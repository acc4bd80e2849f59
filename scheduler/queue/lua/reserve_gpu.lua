--[[ reserve_gpu: memory on `count` cards for one Run, all or nothing; freed when the Run is settled or rescued.
keys: the centre's prefix
args: now, run, need_mb, count, then per admissible card, best first: uuid, capacity_mb (what all Runs together may hold)
returns: the uuids held ({} = does not fit)
flags:
]]
local function reserve_gpu(keys, args)
  local P, run, need, count = keys[1], args[2], tonumber(args[3]), tonumber(args[4])
  local record = P .. 'r:' .. run
  local held = redis.call('HMGET', record, 'gpu', 'state')
  if held[2] ~= 'running' then return {} end
  local chosen = {}
  if held[1] then
    for uuid in string.gmatch(held[1], '[^,]+') do chosen[#chosen + 1] = uuid end
    return chosen
  end
  for i = 5, #args, 2 do
    local sum, holders = need, redis.call('HVALS', P .. 'gpu:' .. args[i])
    for _, mb in ipairs(holders) do sum = sum + mb end
    if #chosen < count and sum <= tonumber(args[i + 1]) then chosen[#chosen + 1] = args[i] end
  end
  if #chosen < count then return {} end
  for i = 1, count do redis.call('HSET', P .. 'gpu:' .. chosen[i], run, need) end
  redis.call('HSET', record, 'gpu', table.concat(chosen, ','))
  return chosen
end
