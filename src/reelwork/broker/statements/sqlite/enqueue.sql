INSERT INTO messages (queue, job_id, event_id, topic, body, is_replay, enqueued_at, visible_at, deliveries, attempts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)
