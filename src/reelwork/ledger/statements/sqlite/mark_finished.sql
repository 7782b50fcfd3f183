UPDATE outbox
SET finished_at = ?
WHERE sequence = ?
