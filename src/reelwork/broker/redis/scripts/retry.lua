-- ARGV: now (ms), pause (ms), channel, queue, id, token. The entry stays where it is, pending, and is visible again after
-- the pause; the times that it was handed out and never ended are forgotten. Gives whether the lease still stood.
local id, token = ARGV[5], ARGV[6]
if not let_go(id, token) then
  return 0
end
if deliveries_of(id) then
  count_deliveries(id, redis.call('HINCRBY', attempts, id, 1))
  redis.call('ZADD', visible, now_of(ARGV[1]) + ARGV[2], member_of(id))
  redis.call('PUBLISH', ARGV[3], ARGV[4])
end
return 1
