INSERT INTO dead_letters (job_id, queue, stage, topic, event_id, body, error, attempts, created_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
WHERE NOT EXISTS (
    SELECT 1 FROM dead_letters
    WHERE event_id = ?5 AND queue = ?2 AND job_id = ?1 AND body = ?6 AND replayed_at IS NULL
)
