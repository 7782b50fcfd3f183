UPDATE stages
SET completed_at = fired.at, completion = fired.completion
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS fired (at, completion, job_id, stage)
WHERE stages.job_id = fired.job_id AND stages.stage = fired.stage
    AND stages.completed_at IS NULL AND stages.closed_at IS NULL
