UPDATE jobs
SET swept_at = ?
WHERE job_id = ?
