SELECT job_id, status, phase
FROM jobs
WHERE job_id IN (SELECT value FROM json_each(?))
