SELECT job_id, status, phase, failed_stage
FROM jobs
WHERE job_id IN (SELECT value FROM json_each(?))
