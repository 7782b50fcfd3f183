SELECT message_id, lease
FROM messages
WHERE message_id = ANY ($1::bigint[])
ORDER BY message_id
FOR UPDATE
