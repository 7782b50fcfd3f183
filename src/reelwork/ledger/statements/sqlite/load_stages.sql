SELECT job_id, stage, created_at, expected, done, failed, late, done_weight, progress, watermark_at, completed_at, closed_at
FROM stages
WHERE (job_id, stage) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
