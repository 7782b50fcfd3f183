SELECT 1 FROM messages WHERE job_id = ? AND queue IN (SELECT value FROM json_each(?)) LIMIT 1
