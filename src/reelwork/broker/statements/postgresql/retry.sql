UPDATE messages
SET visible_at = held.visible_at, lease = NULL, attempts = attempts + 1, deliveries = attempts + 1
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS held (visible_at, message_id, lease)
WHERE messages.message_id = held.message_id AND messages.lease = held.lease
