-- ARGV: now (ms), lease (ms). Makes the queue. What is pending without a time of visibility, because somebody else took
-- it from the group, gets one, so that nothing stays pending for ever. Gives how many entries that were.
local PAGE = 1000
local created = redis.pcall('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
if created.err and not string.find(created.err, 'BUSYGROUP', 1, true) then
  return created
end
local ends_at = now_of(ARGV[1]) + ARGV[2]
local recovered, from = 0, '-'
while true do
  local pending = redis.call('XPENDING', stream, GROUP, from, '+', PAGE)
  for _, entry in ipairs(pending) do
    recovered = recovered + redis.call('ZADD', visible, 'NX', ends_at, member_of(entry[1]))
  end
  if #pending < PAGE then
    return recovered
  end
  from = '(' .. pending[PAGE][1]
end
