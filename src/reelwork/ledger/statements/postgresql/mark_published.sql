UPDATE outbox
SET published_at = coalesce(published_at, told.at), look_again_at = told.again, publications = publications + 1
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS told (at, again, sequence)
WHERE outbox.sequence = told.sequence
