-- $1: names of queues. $2: now, ms. $3: count so many of each at most. $4: look so far for what is in hand.
SELECT queues.name, counted.count, looked_at.in_hand, looked_at.oldest
FROM unnest($1::text[]) AS queues (name)
CROSS JOIN LATERAL (
    SELECT count(*) FROM (SELECT 1 FROM messages WHERE queue = queues.name LIMIT $3::bigint) AS every
) AS counted
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE lease IS NOT NULL AND visible_at > $2::bigint) AS in_hand,
        min(enqueued_at) FILTER (WHERE lease IS NULL OR visible_at <= $2::bigint) AS oldest
    FROM (
        SELECT lease, visible_at, enqueued_at FROM messages WHERE queue = queues.name
        ORDER BY message_id LIMIT $4::bigint
    ) AS first
) AS looked_at
