--[[ cancels: which of a worker's Runs were told to stop, and which Runs it holds (what a lost wake-up would have said).
keys: the centre's prefix
args: now, worker
returns: {{run, reason, …}, {run held, …}}
flags: allow-oom
]]
local function cancels(keys, args)
  local P, answer = keys[1], {}
  local runs = redis.call('SRANDMEMBER', P .. 'cancels:' .. args[2], 200)
  for i = 1, #runs do
    answer[#answer + 1] = runs[i]
    answer[#answer + 1] = redis.call('HGET', P .. 'r:' .. runs[i], 'cancel') or ''
  end
  return {answer, redis.call('SRANDMEMBER', P .. 'own:' .. args[2], 1000)}
end
