-- ?1: names of queues. ?2: now, ms. ?3: count so many of each at most. ?4: look so far for what is in hand.
SELECT
    queues.value,
    (SELECT count(*) FROM (SELECT 1 FROM messages WHERE queue = queues.value LIMIT ?3)),
    (SELECT count(*) FROM (
        SELECT lease, visible_at FROM messages WHERE queue = queues.value ORDER BY message_id LIMIT ?4
    ) WHERE lease IS NOT NULL AND visible_at > ?2),
    (SELECT min(enqueued_at) FROM (
        SELECT lease, visible_at, enqueued_at FROM messages WHERE queue = queues.value ORDER BY message_id LIMIT ?4
    ) WHERE lease IS NULL OR visible_at <= ?2)
FROM json_each(?1) AS queues
