SELECT event_id
FROM outbox
WHERE queue IS NULL AND event_id = ANY ($1::text[])
