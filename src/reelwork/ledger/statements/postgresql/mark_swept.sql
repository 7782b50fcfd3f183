UPDATE jobs
SET swept_at = $1
WHERE job_id = $2
