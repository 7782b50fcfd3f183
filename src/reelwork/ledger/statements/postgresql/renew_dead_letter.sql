-- One of the same message lies there still; who replays it answers this time, too.
UPDATE dead_letters AS there
SET error = told.error, attempts = told.attempts, created_at = told.created_at, stage = told.stage, topic = told.topic
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[]
) AS told (job_id, queue, stage, topic, event_id, body, error, attempts, created_at)
WHERE there.event_id = told.event_id AND there.queue = told.queue AND there.job_id = told.job_id
    AND there.body = told.body AND there.replayed_at IS NULL
