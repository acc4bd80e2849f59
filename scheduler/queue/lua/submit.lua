--[[ submit: new Runs enter the queue, each at most once.
keys: the centre's prefix
args: now ('' = the server's clock), then per Run: id, task, queue, priority, params, delay_ms, due_ms, key, idempotency
returns: per Run: ok | duplicate (this id, same body) | same <id> (idempotency key used before) | conflict (other body)
flags:
]]
local function create_all(step, args)
  local answers = {}
  for i = 2, #args, 9 do answers[#answers + 1] = create(step, unpack(args, i, i + 8)) end
  return answers
end

local function submit(keys, args) return in_step(create_all, keys, args) end
