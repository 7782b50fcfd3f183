-- ARGV: now (ms), lease (ms), and for every entry its id and the token of its lease. Gives how many leases still stood.
local ends_at, extended = now_of(ARGV[1]) + ARGV[2], 0
for first = 3, #ARGV, 2 do
  local id = ARGV[first]
  if redis.call('HGET', leases, id) == ARGV[first + 1] then
    redis.call('ZADD', visible, ends_at, member_of(id))
    extended = extended + 1
  end
end
return extended
