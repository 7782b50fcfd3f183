INSERT INTO stages (expected, done, failed, late, done_weight, progress, watermark_at, closed_at, created_at, job_id, stage)
SELECT expected, done, failed, late, done_weight, progress, watermark_at, closed_at, created_at, job_id, stage
FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::float8[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[]
) AS told (expected, done, failed, late, done_weight, progress, watermark_at, closed_at, created_at, job_id, stage)
ON CONFLICT (job_id, stage) DO UPDATE
SET expected = excluded.expected, done = excluded.done, failed = excluded.failed, late = excluded.late,
    done_weight = excluded.done_weight, progress = excluded.progress, watermark_at = excluded.watermark_at,
    closed_at = excluded.closed_at
