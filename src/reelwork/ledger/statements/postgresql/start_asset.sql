INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, recorded_at)
SELECT job_id, stage, asset_id, 'started', 0, false, attempts, recorded_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[])
    AS told (job_id, stage, asset_id, attempts, recorded_at)
ON CONFLICT (job_id, stage, asset_id) DO UPDATE
SET attempts = excluded.attempts
