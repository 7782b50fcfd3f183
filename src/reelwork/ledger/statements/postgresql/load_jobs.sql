SELECT job_id, status, phase, failed_stage
FROM jobs
WHERE job_id = ANY ($1::text[])
