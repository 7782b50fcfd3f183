SELECT dead_letter_id, job_id, queue, stage, topic, event_id, body, error, attempts, created_at, replayed_at
FROM dead_letters
WHERE dead_letter_id IN (SELECT value FROM json_each(?))
