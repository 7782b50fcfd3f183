UPDATE messages
SET visible_at = $1
WHERE queue = $2 AND visible_at > $3
