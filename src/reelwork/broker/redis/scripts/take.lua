-- ARGV: now (ms), token, limit, lease (ms), the longest that anything may be hidden (ms).
-- Gives how long (ms) until there may be something to take (-1: nothing is known to come), and what was taken: for each its
-- id, how often it was handed out, how often it was retried, and its fields. First what was handed out before, in order.
local now, token, limit = now_of(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local lease_ms, hidden_ms_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local taken = {}

-- Further ahead than anything may be hidden it was a clock that was set back since.
for _, member in ipairs(redis.call('ZRANGE', visible, '(' .. now + hidden_ms_max, '+inf', 'BYSCORE', 'LIMIT', 0, limit)) do
  redis.call('ZADD', visible, 0, member)
end

for _, member in ipairs(redis.call('ZRANGE', visible, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
  local id = id_of(member)
  local claimed = in_group('XCLAIM', stream, GROUP, GROUP, 0, id)
  if claimed[1] then
    taken[#taken + 1] = { id, deliveries_of(id), tonumber(redis.call('HGET', attempts, id) or 0), claimed[1][2] }
  else -- somebody has deleted it
    redis.call('ZREM', visible, member)
    redis.call('HDEL', leases, id)
    redis.call('HDEL', attempts, id)
  end
end

if #taken < limit then
  local fresh = in_group('XREADGROUP', 'GROUP', GROUP, GROUP, 'COUNT', limit - #taken, 'STREAMS', stream, '>')
  for _, entry in ipairs(fresh and fresh[1][2] or {}) do
    taken[#taken + 1] = { entry[1], 1, 0, entry[2] }
  end
end

if #taken == 0 then
  local first = redis.call('ZRANGE', visible, 0, 0, 'WITHSCORES')
  return { first[2] and math.max(math.ceil(first[2] - now), 0) or -1, taken }
end
local times, tokens = {}, {}
for _, entry in ipairs(taken) do
  times[#times + 1] = now + lease_ms
  times[#times + 1] = member_of(entry[1])
  tokens[#tokens + 1] = entry[1]
  tokens[#tokens + 1] = token
end
redis.call('ZADD', visible, unpack(times))
redis.call('HSET', leases, unpack(tokens))
return { 0, taken }
