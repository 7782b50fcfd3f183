UPDATE jobs
SET status = ?, phase = ?, failed_stage = ?, output_path = coalesce(?, output_path),
    error_message = CASE WHEN ? IS NULL THEN error_message ELSE nullif(?, '') END, updated_at = ?, swept_at = NULL
WHERE job_id = ?
