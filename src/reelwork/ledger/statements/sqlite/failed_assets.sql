SELECT asset_id, error
FROM assets
WHERE job_id = ? AND stage = ? AND state = 'failed'
ORDER BY asset_id
LIMIT ?
