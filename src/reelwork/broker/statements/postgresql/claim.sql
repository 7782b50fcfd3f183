-- The ids are gathered first, once: as a subquery of IN they could be taken again, and more than the limit.
UPDATE messages
SET visible_at = $1, lease = $2, deliveries = deliveries + 1
WHERE message_id = ANY (ARRAY(
    SELECT message_id FROM messages WHERE queue = $3 AND visible_at <= $4 ORDER BY message_id LIMIT $5
    FOR UPDATE SKIP LOCKED
))
RETURNING message_id, event_id, job_id, topic, body, is_replay, deliveries, attempts
