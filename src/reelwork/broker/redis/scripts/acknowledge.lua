-- ARGV: for every entry its id, the token of its lease, and its job. Gives how many leases still stood.
local asked = {}
for first = 1, #ARGV, 3 do
  asked[#asked + 1] = ARGV[first]
end
local tokens = redis.call('HMGET', leases, unpack(asked))
local ids, members, counts, is_done = {}, {}, {}, {}
for number, id in ipairs(asked) do
  if tokens[number] == ARGV[3 * number - 1] and not is_done[id] then
    local job = ARGV[3 * number]
    is_done[id] = true
    ids[#ids + 1] = id
    members[#members + 1] = member_of(id)
    counts[job] = (counts[job] or 0) + 1
  end
end
if #ids > 0 then
  redis.call('XACK', stream, GROUP, unpack(ids))
  redis.call('XDEL', stream, unpack(ids))
  redis.call('ZREM', visible, unpack(members))
  redis.call('HDEL', leases, unpack(ids))
  redis.call('HDEL', attempts, unpack(ids))
end
for job, count in pairs(counts) do
  if redis.call('HINCRBY', jobs, job, -count) <= 0 then
    redis.call('HDEL', jobs, job)
  end
end
return #ids
