DELETE FROM messages
USING unnest($1::bigint[], $2::text[]) AS held (message_id, lease)
WHERE messages.message_id = held.message_id AND messages.lease = held.lease
