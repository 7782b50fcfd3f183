INSERT INTO announcement_conflicts (job_id, stage, expected, announced, recorded_at)
SELECT job_id, stage, expected, announced, recorded_at
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]
) WITH ORDINALITY AS told (job_id, stage, expected, announced, recorded_at, place)
ORDER BY place
