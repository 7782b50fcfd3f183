SELECT job_id
FROM jobs
WHERE status = 'running' AND job_id > ?
ORDER BY job_id
LIMIT ?
