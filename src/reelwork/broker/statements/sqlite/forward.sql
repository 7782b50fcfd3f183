-- Copying inside the database costs a quarter of handing every column of every row over once more.
INSERT INTO messages (queue, job_id, event_id, topic, body, is_replay, enqueued_at, visible_at, deliveries, attempts)
SELECT ?1, job_id, event_id, topic, body, is_replay, ?6, ?2, 0, 0
FROM outbox
WHERE sequence > ?3 AND sequence <= ?4
    AND (queue = ?1 OR queue IS NULL AND topic IN (SELECT value FROM json_each(?5)))
ORDER BY sequence
