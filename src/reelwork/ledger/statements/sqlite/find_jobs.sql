SELECT job_id, status, created_at, updated_at, input_path, output_path, error_message, pipeline, phase, parameters,
    idempotency_key
FROM jobs
WHERE job_id IN (SELECT value FROM json_each(?))
