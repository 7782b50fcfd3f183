SELECT 1
FROM outbox
WHERE job_id = $1 AND topic = $2 AND (queue IS NULL OR queue = $3) AND finished_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.event_id = outbox.event_id AND inbox.queue = $3)
    AND NOT EXISTS (
        SELECT 1
        FROM dead_letters
        WHERE dead_letters.event_id = outbox.event_id AND dead_letters.queue = $3
            AND (outbox.queue IS NULL OR dead_letters.created_at > outbox.created_at)
    )
LIMIT 1
