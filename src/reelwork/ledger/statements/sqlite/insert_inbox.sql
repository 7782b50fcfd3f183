INSERT INTO inbox (queue, event_id, consumed_at)
VALUES (?, ?, ?)
