INSERT INTO inbox (queue, event_id, consumed_at)
SELECT queue, event_id, consumed_at
FROM unnest(
    $1::text[], $2::text[], $3::bigint[]
) AS told (queue, event_id, consumed_at)
