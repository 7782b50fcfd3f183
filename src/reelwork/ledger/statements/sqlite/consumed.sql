SELECT queue, event_id
FROM inbox
WHERE event_id IN (SELECT value FROM json_each(?))
