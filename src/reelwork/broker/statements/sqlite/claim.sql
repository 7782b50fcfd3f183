UPDATE messages
SET visible_at = ?, lease = ?, deliveries = deliveries + 1
WHERE message_id IN (
    SELECT message_id FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY message_id LIMIT ?
)
RETURNING message_id, event_id, job_id, topic, body, is_replay, deliveries, attempts
