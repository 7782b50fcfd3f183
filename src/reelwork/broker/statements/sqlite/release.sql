UPDATE messages
SET visible_at = ?, lease = NULL, deliveries = deliveries - 1
WHERE message_id = ? AND lease = ?
