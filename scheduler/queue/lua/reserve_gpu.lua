--[[ reserve_gpu: memory on `count` cards for one Run, all or nothing; freed when the Run is settled or rescued.
keys: the centre's prefix
args: now, run, need_mb, count, then per admissible card, best first: uuid, capacity_mb (what all Runs together may hold)
returns: the uuids held ({} = does not fit)
flags: allow-oom
]]
local function reserved_mb(P, card)
  local held, sum = redis.call('HGETALL', P .. 'gpu:' .. card), 0
  for i = 1, #held, 2 do
    if redis.call('HGET', P .. 'r:' .. held[i], 'gpu') then
      sum = sum + (tonumber(held[i + 1]) or 0)
    else
      redis.call('HDEL', P .. 'gpu:' .. card, held[i]) -- its Run is gone
    end
  end
  return sum
end

local function reserve_gpu(keys, args)
  local P, run, need, count = keys[1], args[2], tonumber(args[3]), tonumber(args[4])
  local record, chosen = P .. 'r:' .. run, {}
  local state, held = unpack(redis.call('HMGET', record, 'state', 'gpu'))
  if state ~= 'running' then return chosen end
  for card in string.gmatch(held or '', '[^,]+') do chosen[#chosen + 1] = card end
  if #chosen > 0 then return chosen end
  for i = 5, #args, 2 do
    if #chosen < count and reserved_mb(P, args[i]) + need <= tonumber(args[i + 1]) then chosen[#chosen + 1] = args[i] end
  end
  if #chosen < count then return {} end
  redis.call('HSET', record, 'gpu', table.concat(chosen, ','))
  for i = 1, count do redis.call('HSET', P .. 'gpu:' .. chosen[i], run, need) end
  return chosen
end
