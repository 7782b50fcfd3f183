SELECT asset_id, state, attempts
FROM assets
WHERE job_id = ? AND stage = ? AND asset_id IN (SELECT value FROM json_each(?))
