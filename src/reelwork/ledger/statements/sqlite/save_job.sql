UPDATE jobs
SET status = ?1, phase = ?2, failed_stage = ?3, output_path = coalesce(?4, output_path),
    error_message = CASE WHEN ?5 IS NULL THEN error_message ELSE nullif(?5, '') END, updated_at = ?6, swept_at = NULL
WHERE job_id = ?7
