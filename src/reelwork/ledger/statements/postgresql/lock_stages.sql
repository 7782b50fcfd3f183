SELECT job_id, stage, created_at, expected, done, failed, late, done_weight, progress, watermark_at, completed_at, closed_at
FROM stages
WHERE (job_id, stage) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY job_id, stage
FOR UPDATE
