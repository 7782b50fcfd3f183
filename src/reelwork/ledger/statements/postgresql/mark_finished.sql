UPDATE outbox
SET finished_at = told.at
FROM unnest($1::bigint[], $2::bigint[]) AS told (at, sequence)
WHERE outbox.sequence = told.sequence
