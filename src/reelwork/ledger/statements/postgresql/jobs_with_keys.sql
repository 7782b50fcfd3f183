SELECT idempotency_key, job_id
FROM jobs
WHERE idempotency_key = ANY ($1::text[])
