INSERT INTO messages (queue, job_id, event_id, topic, body, is_replay, enqueued_at, visible_at, deliveries, attempts)
SELECT queue, job_id, event_id, topic, body, is_replay, enqueued_at, visible_at, 0, 0
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::bigint[], $8::bigint[]
) WITH ORDINALITY AS sent (queue, job_id, event_id, topic, body, is_replay, enqueued_at, visible_at, place)
ORDER BY place
