UPDATE stages
SET closed_at = ?
WHERE job_id IN (SELECT value FROM json_each(?)) AND completed_at IS NULL AND closed_at IS NULL
