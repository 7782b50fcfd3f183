SELECT event_id, queue, consumed_at
FROM inbox
WHERE event_id = ANY ($1::text[])
UNION ALL
SELECT event_id, queue, created_at
FROM dead_letters
WHERE event_id = ANY ($1::text[])
