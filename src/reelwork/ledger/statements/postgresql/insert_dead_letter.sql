WITH told AS (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[]
    ) WITH ORDINALITY AS told (job_id, queue, stage, topic, event_id, body, error, attempts, created_at, place)
)
INSERT INTO dead_letters (job_id, queue, stage, topic, event_id, body, error, attempts, created_at)
SELECT job_id, queue, stage, topic, event_id, body, error, attempts, created_at
FROM told
WHERE NOT EXISTS (
    SELECT 1 FROM dead_letters AS there
    WHERE there.event_id = told.event_id AND there.queue = told.queue AND there.job_id = told.job_id
        AND there.body = told.body AND there.replayed_at IS NULL
)
AND NOT EXISTS (
    SELECT 1 FROM told AS earlier
    WHERE earlier.place < told.place AND earlier.event_id = told.event_id AND earlier.queue = told.queue
        AND earlier.job_id = told.job_id AND earlier.body = told.body
)
ORDER BY place
