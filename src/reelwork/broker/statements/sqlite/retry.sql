UPDATE messages
SET visible_at = ?, lease = NULL, attempts = attempts + 1, deliveries = attempts + 1
WHERE message_id = ? AND lease = ?
