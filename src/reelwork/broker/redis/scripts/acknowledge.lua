-- ARGV: for every entry its id, the token of its lease, and its job. Gives how many leases still stood.
local ids, members, counts = {}, {}, {}
for first = 1, #ARGV, 3 do
  local id, token, job = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  if let_go(id, token) then
    ids[#ids + 1] = id
    members[#members + 1] = member_of(id)
    counts[job] = (counts[job] or 0) + 1
  end
end
if #ids > 0 then
  redis.call('XACK', stream, GROUP, unpack(ids))
  redis.call('XDEL', stream, unpack(ids))
  redis.call('ZREM', visible, unpack(members))
  redis.call('HDEL', attempts, unpack(ids))
end
for job, count in pairs(counts) do
  if redis.call('HINCRBY', jobs, job, -count) <= 0 then
    redis.call('HDEL', jobs, job)
  end
end
return #ids
