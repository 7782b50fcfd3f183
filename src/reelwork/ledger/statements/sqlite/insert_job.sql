INSERT INTO jobs (job_id, status, created_at, updated_at, input_path, pipeline, parameters, idempotency_key)
VALUES (?, 'pending', ?, ?, ?, ?, ?, ?)
