INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, result, error, recorded_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id, stage, asset_id) DO UPDATE
SET state = excluded.state, weight = excluded.weight, late = excluded.late, attempts = excluded.attempts,
    result = excluded.result, error = excluded.error, recorded_at = excluded.recorded_at
