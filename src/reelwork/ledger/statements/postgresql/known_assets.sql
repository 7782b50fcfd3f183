SELECT asset_id, state, attempts, late
FROM assets
WHERE job_id = $1 AND stage = $2 AND asset_id = ANY ($3::text[])
