SELECT event_id
FROM outbox
WHERE queue IS NULL AND event_id IN (SELECT value FROM json_each(?))
