--[[ quarantine: keys that hold another type than they should are moved aside for a week, to `bad:<key>`.
keys: the centre's prefix
args: now, then per key: name, the type it should have
returns: {names of those moved}
flags: allow-oom
]]
local function quarantine(keys, args)
  local P, moved = keys[1], {}
  for i = 2, #args, 2 do
    local name = args[i]
    local kind = redis.call('TYPE', P .. name).ok
    if kind ~= 'none' and kind ~= args[i + 1] then
      set_aside(P, name)
      moved[#moved + 1] = name
    end
  end
  return moved
end
