SELECT sequence, event_id, job_id, topic, queue, is_replay, body, created_at, published_at, finished_at, publications
FROM outbox
WHERE job_id = $1
ORDER BY sequence
