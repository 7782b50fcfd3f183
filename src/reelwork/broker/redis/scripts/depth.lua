-- ARGV: now (ms), how many entries that were handed out before to look at. Gives how many entries there are, how many of
-- them are in hand, and how old (ms) the oldest that waits is: its id tells when it came, by the server's clock.
local now, look_max = now_of(ARGV[1]), tonumber(ARGV[2])
local in_hand, oldest = redis.call('HLEN', leases), nil

local function waits(id)
  local came = tonumber(string.match(id, '^%d+'))
  oldest = oldest and math.min(oldest, came) or came
end

local looked_at = redis.call('ZRANGE', visible, 0, look_max - 1, 'WITHSCORES')
for at = 1, #looked_at, 2 do
  local id = id_of(looked_at[at])
  local is_leased = redis.call('HEXISTS', leases, id) == 1
  if is_leased and tonumber(looked_at[at + 1]) <= now then -- its lease has ended
    in_hand = in_hand - 1
    is_leased = false
  end
  if not is_leased then
    waits(id)
  end
end

local groups = redis.pcall('XINFO', 'GROUPS', stream)
for _, group in ipairs(groups.err and {} or groups) do
  local told = {}
  for at = 1, #group, 2 do
    told[group[at]] = group[at + 1]
  end
  if told.name == GROUP then
    local fresh = redis.call('XRANGE', stream, '(' .. told['last-delivered-id'], '+', 'COUNT', 1)
    if fresh[1] then
      waits(fresh[1][1])
    end
  end
end
local age = oldest and math.max(now_of('') - oldest, 0) or 0
return { redis.call('XLEN', stream), in_hand, age }
