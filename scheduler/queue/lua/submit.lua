--[[ submit: new Runs enter the queue, each at most once.
keys: the centre's prefix
args: now ('' = the server's clock), then per Run: id, task, queue, priority, params, delay_ms, due_ms, key, idempotency
returns: per Run: ok | duplicate (this id, same body) | same <id> (idempotency key used before) | conflict (other body)
flags:
]]
local function submit(keys, args)
  local P, now, events, answers = keys[1], clock(args[1]), {}, {}
  local lanes = {}
  for i = 2, #args, 9 do
    local s = {unpack(args, i, i + 8)}
    local answer = create(P, now, events, s)
    answers[#answers + 1] = answer
    if answer == 'ok' and s[6] == '0' and s[7] == '0' then
      local lane = lane_name(s[3], s[2], s[8])
      lanes[lane] = (lanes[lane] or 0) + 1
    end
  end
  publish(P, events)
  for lane, count in pairs(lanes) do wake(P, lane, count) end
  return answers
end
