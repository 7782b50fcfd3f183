UPDATE messages
SET visible_at = ?
WHERE message_id = ? AND lease = ?
