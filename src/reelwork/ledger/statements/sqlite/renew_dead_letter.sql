-- One of the same message lies there still; who replays it answers this time, too.
UPDATE dead_letters
SET error = ?7, attempts = ?8, created_at = ?9, stage = ?3, topic = ?4
WHERE event_id = ?5 AND queue = ?2 AND job_id = ?1 AND body = ?6 AND replayed_at IS NULL
