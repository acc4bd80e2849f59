--[[ elect: take the leadership when it is free, or renew it. The epoch grows with every change of leader and never goes back.
keys: the centre's prefix
args: now, instance, lease_ms
returns: {epoch (0 = somebody else leads), now, leader, ms since the leader before us was last heard of (0: there was none, or we renewed)}
flags: allow-oom
]]
local function elect(keys, args)
  local P, now, me, lease = keys[1], clock(args[1]), args[2], tonumber(args[3])
  local f = redis.call('HMGET', P .. 'lead', 'id', 'until', 'epoch', 'heard')
  local holder, until_ms, silent = f[1], whole(f[2]) or 0, 0
  local epoch = math.max(whole(f[3]) or 0, whole(redis.call('HGET', P .. 'meta', 'epoch')) or 0)
  -- A lease that ends later than any lease can was written before the clock stepped back: it holds no longer than a new one.
  if until_ms > now + lease then until_ms = now + lease; redis.call('HSET', P .. 'lead', 'until', until_ms) end
  if holder and holder ~= me and until_ms > now then return {0, now, holder, 0} end
  if holder ~= me or until_ms <= now or epoch == 0 then
    epoch = epoch + 1
    silent = math.max(0, now - (whole(f[4]) or now))
  end
  redis.call('HSET', P .. 'lead', 'id', me, 'until', now + lease, 'epoch', epoch, 'heard', now)
  redis.call('HSET', P .. 'meta', 'epoch', epoch)
  return {epoch, now, me, silent}
end
