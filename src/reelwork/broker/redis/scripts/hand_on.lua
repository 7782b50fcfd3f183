-- ARGV: channel, queue, how the tokens of a dead process begin. What it held is visible at once, and counts as handed out:
-- it may have died of it. Gives how many entries that were.
local held, handed_on = redis.call('HGETALL', leases), 0
for at = 1, #held, 2 do
  if string.sub(held[at + 1], 1, #ARGV[3]) == ARGV[3] then
    redis.call('HDEL', leases, held[at])
    redis.call('ZADD', visible, 0, member_of(held[at]))
    handed_on = handed_on + 1
  end
end
if handed_on > 0 then
  redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return handed_on
