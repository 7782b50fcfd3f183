SELECT job_id, status, created_at, updated_at, input_path, output_path, error_message, pipeline, phase,
    parameters::text, idempotency_key
FROM jobs
WHERE job_id = ANY ($1::text[])
