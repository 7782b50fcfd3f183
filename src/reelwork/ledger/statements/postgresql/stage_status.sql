SELECT job_id, stage, expected, done, failed, late, watermark_at, completion, done_weight, progress, created_at,
    completed_at, closed_at
FROM stages
WHERE job_id = $1
ORDER BY created_at, stage
