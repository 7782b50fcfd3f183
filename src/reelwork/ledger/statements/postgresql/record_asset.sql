INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, result, error, recorded_at)
SELECT job_id, stage, asset_id, state, weight, late, attempts, result, error, recorded_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::boolean[], $7::integer[], $8::text[], $9::text[], $10::bigint[]
) AS told (job_id, stage, asset_id, state, weight, late, attempts, result, error, recorded_at)
ON CONFLICT (job_id, stage, asset_id) DO UPDATE
SET state = excluded.state, weight = excluded.weight, late = excluded.late, attempts = excluded.attempts,
    result = excluded.result, error = excluded.error, recorded_at = excluded.recorded_at
