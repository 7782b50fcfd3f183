UPDATE messages
SET visible_at = $1
WHERE message_id = ANY (ARRAY(
    SELECT message_id FROM messages WHERE queue = $2 AND visible_at > $3 ORDER BY message_id FOR UPDATE
))
