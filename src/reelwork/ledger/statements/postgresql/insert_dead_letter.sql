INSERT INTO dead_letters (job_id, queue, stage, topic, event_id, body, error, attempts, created_at)
SELECT job_id, queue, stage, topic, event_id, body, error, attempts, created_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[]
) WITH ORDINALITY AS told (job_id, queue, stage, topic, event_id, body, error, attempts, created_at, place)
ORDER BY place
