UPDATE jobs
SET status = told.status, phase = told.phase, failed_stage = told.failed_stage,
    output_path = coalesce(told.output_path, jobs.output_path),
    error_message = CASE
        WHEN told.error_message IS NULL THEN jobs.error_message
        ELSE nullif(told.error_message, '')
    END,
    updated_at = told.updated_at, swept_at = NULL
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[])
    AS told (status, phase, failed_stage, output_path, error_message, updated_at, job_id)
WHERE jobs.job_id = told.job_id
