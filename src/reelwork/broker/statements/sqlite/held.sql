SELECT message_id, lease
FROM messages
WHERE message_id IN (SELECT value FROM json_each(?))
