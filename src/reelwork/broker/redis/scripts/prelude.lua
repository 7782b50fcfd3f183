-- What all scripts of a queue share. KEYS: the stream of the queue, and beside it
--   visible   sorted set: every entry that was handed out before, by the time (ms) from which it may be handed out again:
--             the end of a lease, the end of a pause before a retry, or 0
--   leases    hash: entry -> token of whoever holds it
--   attempts  hash: entry -> how often it was retried
--   jobs      hash: job -> how many entries the queue holds of it
local stream, visible, leases, attempts, jobs = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local GROUP = 'reelwork'

-- Members of `visible` lie in the order of their entries where they are visible at the same time.
local ZEROES = '-00000000000000000000'
local function member_of(id)
  local dash = string.find(id, '-', 1, true)
  return string.sub(id, 1, dash - 1) .. string.sub(ZEROES, 1, #ZEROES - #id + dash) .. string.sub(id, dash + 1)
end

local function id_of(member)
  local ms, sequence = string.match(member, '^(%d+)-0*(%d+)$')
  return ms .. '-' .. sequence
end

-- The server's time, unless the caller has one of its own.
local function now_of(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A server that lost everything has no group either; a new one begins with the first entry that is there.
local function in_group(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then
    return answer
  end
  if string.find(answer.err, 'NOGROUP', 1, true) then
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  end
  return redis.call(...)
end

-- How often the entry was handed out; nil when it is not there any more.
local function deliveries_of(id)
  local pending = in_group('XPENDING', stream, GROUP, id, id, 1)
  return pending[1] and pending[1][4]
end

local function count_deliveries(id, count)
  redis.call('XCLAIM', stream, GROUP, GROUP, 0, id, 'RETRYCOUNT', count, 'JUSTID')
end

-- Ends a lease; false when it had ended before, and whoever held it may do nothing.
local function let_go(id, token)
  if redis.call('HGET', leases, id) ~= token then
    return false
  end
  redis.call('HDEL', leases, id)
  return true
end
