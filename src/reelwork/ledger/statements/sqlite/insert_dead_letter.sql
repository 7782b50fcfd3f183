INSERT INTO dead_letters (job_id, queue, stage, topic, event_id, body, error, attempts, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
