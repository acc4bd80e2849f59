--[[ purge: waiting Runs of a queue are cancelled, or dead letters deleted, up to `most` of them; call again until 0.
keys: the centre's prefix
args: now, what (queue | dead), name (the queue; for dead: '' = all, or one Run), most
returns: how many
flags: allow-oom
]]
local function purge_queue(P, now, queue, most)
  local events, count = {}, 0
  local lanes = redis.call('ZRANGE', P .. 'q:' .. queue, 0, most)
  local closed = redis.call('ZRANGE', P .. 'closed', 0, most)
  for i = 1, #closed do
    if queue_of(closed[i]) == queue then lanes[#lanes + 1] = closed[i] end
  end
  for _, lane in ipairs(lanes) do
    local runs = redis.call('ZRANGE', P .. 'lane:' .. lane, 0, most - count - 1)
    for i = 1, #runs do cancel_one(P, now, events, runs[i], 'purged') end
    count = count + #runs
    if count >= most then break end
  end
  publish(P, events)
  return count
end

local function purge(keys, args)
  local P, now, most = keys[1], clock(args[1]), tonumber(args[4])
  if args[2] == 'queue' then return purge_queue(P, now, args[3], most) end
  local dead = args[3] ~= '' and {args[3]} or redis.call('ZRANGE', P .. 'dead', 0, most - 1)
  local count = 0
  for i = 1, #dead do
    if redis.call('ZREM', P .. 'dead', dead[i]) == 1 then
      redis.call('UNLINK', P .. 'r:' .. dead[i], P .. 'log:' .. dead[i])
      count = count + 1
    end
  end
  return count
end
