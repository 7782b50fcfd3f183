-- ARGV: channel, queue, and for every entry its id and the token of its lease. They are visible at once, in their order, as
-- if they had never been handed out. Gives how many leases still stood.
local released = 0
for first = 3, #ARGV, 2 do
  local id = ARGV[first]
  if let_go(id, ARGV[first + 1]) then
    local deliveries = deliveries_of(id)
    if deliveries then
      count_deliveries(id, deliveries - 1)
      redis.call('ZADD', visible, 0, member_of(id))
      released = released + 1
    end
  end
end
if released > 0 then
  redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return released
