SELECT event_id, queue, consumed_at
FROM inbox
WHERE event_id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT event_id, queue, created_at
FROM dead_letters
WHERE event_id IN (SELECT value FROM json_each(?1))
