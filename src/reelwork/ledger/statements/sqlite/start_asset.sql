INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, recorded_at)
VALUES (?, ?, ?, 'started', 0, 0, ?, ?)
ON CONFLICT (job_id, stage, asset_id) DO UPDATE
SET attempts = excluded.attempts
