SELECT dead_letter_id, job_id, queue, stage, topic, event_id, body, error, attempts, created_at, replayed_at
FROM dead_letters
WHERE dead_letter_id = ANY ($1::bigint[])
ORDER BY dead_letter_id
FOR UPDATE
