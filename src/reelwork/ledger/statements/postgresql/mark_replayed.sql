UPDATE dead_letters
SET replayed_at = told.at
FROM unnest($1::bigint[], $2::bigint[]) AS told (at, dead_letter_id)
WHERE dead_letters.dead_letter_id = told.dead_letter_id
