WITH numbered AS MATERIALIZED (
    SELECT nextval('outbox_sequence_seq') AS sequence, told.*
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::integer[]
    ) WITH ORDINALITY AS told (event_id, job_id, topic, queue, is_replay, body, created_at, published_at, finished_at, publications, place)
    ORDER BY place
)
INSERT INTO outbox (sequence, event_id, job_id, topic, queue, is_replay, body, created_at, published_at, finished_at, publications)
SELECT sequence, event_id, job_id, topic, queue, is_replay, body, created_at, published_at, finished_at, publications
FROM numbered
ORDER BY event_id COLLATE "C"
