SELECT queue, event_id
FROM inbox
WHERE event_id = ANY ($1::text[])
