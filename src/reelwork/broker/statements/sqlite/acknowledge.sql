DELETE FROM messages
WHERE message_id = ? AND lease = ?
