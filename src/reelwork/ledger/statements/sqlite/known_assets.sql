SELECT asset_id, state, attempts, late
FROM assets
WHERE job_id = ? AND stage = ? AND asset_id IN (SELECT value FROM json_each(?))
