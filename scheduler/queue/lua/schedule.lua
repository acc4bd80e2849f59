--[[ schedule: schedules are added or replaced; what they have fired is kept.
keys: the centre's prefix
args: now, then per schedule: name, definition (JSON), anew (1: it is new or fires at other times than before | 0)
returns: ok
flags:
]]
local function schedule(keys, args)
  local P, now = keys[1], clock(args[1])
  for i = 2, #args, 3 do
    redis.call('HSET', P .. 'schedules', args[i], args[i + 1])
    if args[i + 2] == '1' then begin_anew(P, now, args[i]) end
  end
  next_generation(P)
  return 'ok'
end
