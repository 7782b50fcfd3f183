UPDATE messages
SET visible_at = $1, lease = NULL
WHERE message_id = ANY (ARRAY(
    SELECT message_id FROM messages WHERE starts_with(lease, $2) ORDER BY message_id FOR UPDATE
))
