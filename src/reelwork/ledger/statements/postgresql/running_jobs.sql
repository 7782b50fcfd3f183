SELECT job_id
FROM jobs
WHERE status = 'running' AND job_id > $1
ORDER BY job_id
LIMIT $2
