SELECT job_id, status, created_at, updated_at, input_path, output_path, error_message, pipeline, phase, parameters,
    idempotency_key
FROM jobs
WHERE swept_at IS NULL AND status IN ('completed', 'failed', 'cancelled') AND updated_at <= ?
LIMIT ?
