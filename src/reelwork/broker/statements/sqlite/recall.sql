UPDATE messages
SET visible_at = ?
WHERE queue = ? AND visible_at > ?
