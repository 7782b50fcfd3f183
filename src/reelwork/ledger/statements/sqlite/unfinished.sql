SELECT sequence, event_id, outbox.job_id, topic, queue, is_replay, body, outbox.created_at, published_at, finished_at,
    publications
FROM outbox
LEFT JOIN jobs ON jobs.job_id = outbox.job_id
WHERE finished_at IS NULL AND look_again_at <= ? AND (status IS NULL OR status <> 'cancelled')
ORDER BY look_again_at, sequence
LIMIT ?
