INSERT INTO jobs (job_id, status, created_at, updated_at, input_path, pipeline, parameters, idempotency_key)
VALUES ($1, 'pending', $2, $3, $4, $5, $6::json, $7)
