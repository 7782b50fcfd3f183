UPDATE stages
SET completed_at = ?, completion = ?
WHERE job_id = ? AND stage = ? AND completed_at IS NULL AND closed_at IS NULL
