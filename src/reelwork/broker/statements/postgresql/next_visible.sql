-- Looks for one that can be taken now first: the minimum reads the whole queue, so it is only for when all are in hand.
SELECT coalesce(
    (SELECT visible_at FROM messages WHERE queue = $1 AND visible_at <= $2 ORDER BY message_id LIMIT 1),
    (SELECT min(visible_at) FROM messages WHERE queue = $1)
)
