UPDATE outbox
SET published_at = coalesce(published_at, ?), look_again_at = ?, publications = publications + 1
WHERE sequence = ?
