SELECT job_id, stage, expected, done, failed, late, watermark_at, completion, done_weight, progress, created_at,
    completed_at, closed_at
FROM stages
WHERE completed_at IS NULL AND closed_at IS NULL AND (job_id, stage) > (?, ?)
ORDER BY job_id, stage
LIMIT ?
