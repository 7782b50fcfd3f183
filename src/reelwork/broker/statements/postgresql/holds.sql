SELECT 1 FROM messages WHERE job_id = $1 AND queue = ANY ($2::text[]) LIMIT 1
