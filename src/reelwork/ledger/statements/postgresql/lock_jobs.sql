-- Those that may be moved, those of letters to be replayed, those of stages that are born in this transaction, and
-- those that a completion may bring back.
SELECT job_id, status, phase, failed_stage
FROM jobs
WHERE job_id = ANY (ARRAY(
    SELECT unnest($1::text[])
    UNION SELECT job_id FROM dead_letters WHERE dead_letter_id = ANY ($2::bigint[])
    UNION SELECT key.job_id
        FROM unnest($3::text[], $4::text[]) AS key (job_id, stage)
        WHERE NOT EXISTS (SELECT FROM stages WHERE stages.job_id = key.job_id AND stages.stage = key.stage)
    UNION SELECT job_id FROM jobs WHERE job_id = ANY ($5::text[]) AND failed_stage IS NOT NULL
))
ORDER BY job_id
FOR NO KEY UPDATE
