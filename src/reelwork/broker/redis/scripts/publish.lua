-- KEYS: for every queue its stream and its jobs. ARGV: channel, what to ring, and for every entry: the number of its queue
-- (from 0), event id, job id, topic, body, replay flag, traceparent (empty where nobody traces).
local FIELDS = 7
local counts = {}
for first = 3, #ARGV, FIELDS do
  local queue, job = tonumber(ARGV[first]), ARGV[first + 2]
  local entry = {
    'event_id', ARGV[first + 1], 'job_id', job, 'topic', ARGV[first + 3], 'body', ARGV[first + 4],
    'is_replay', ARGV[first + 5]
  }
  if ARGV[first + 6] ~= '' then
    entry[11], entry[12] = 'traceparent', ARGV[first + 6]
  end
  redis.call('XADD', KEYS[2 * queue + 1], '*', unpack(entry))
  counts[queue] = counts[queue] or {}
  counts[queue][job] = (counts[queue][job] or 0) + 1
end
for queue, of_jobs in pairs(counts) do
  for job, count in pairs(of_jobs) do
    redis.call('HINCRBY', KEYS[2 * queue + 2], job, count)
  end
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
