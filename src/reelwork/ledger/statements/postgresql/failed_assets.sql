SELECT asset_id, error
FROM assets
WHERE job_id = $1 AND stage = $2 AND state = 'failed'
ORDER BY asset_id
LIMIT $3
