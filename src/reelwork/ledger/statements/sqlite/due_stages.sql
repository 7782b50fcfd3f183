SELECT job_id, stage, expected, done, failed, late, watermark_at, completion, done_weight, progress, created_at,
    completed_at, closed_at
FROM stages
WHERE completed_at IS NULL AND closed_at IS NULL AND watermark_at <= ?
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = stages.job_id AND jobs.status = 'failed')
ORDER BY watermark_at
LIMIT ?
