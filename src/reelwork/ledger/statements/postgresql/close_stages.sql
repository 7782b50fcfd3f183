UPDATE stages
SET closed_at = $1
WHERE job_id = ANY ($2::text[]) AND completed_at IS NULL AND closed_at IS NULL
