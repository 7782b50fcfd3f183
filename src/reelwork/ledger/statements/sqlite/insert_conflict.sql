INSERT INTO announcement_conflicts (job_id, stage, expected, announced, recorded_at)
VALUES (?, ?, ?, ?, ?)
