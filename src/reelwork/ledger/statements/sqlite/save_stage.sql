INSERT INTO stages (expected, done, failed, late, done_weight, progress, watermark_at, closed_at, created_at, job_id, stage)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id, stage) DO UPDATE
SET expected = excluded.expected, done = excluded.done, failed = excluded.failed, late = excluded.late,
    done_weight = excluded.done_weight, progress = excluded.progress, watermark_at = excluded.watermark_at,
    closed_at = excluded.closed_at
