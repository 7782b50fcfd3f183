UPDATE dead_letters
SET replayed_at = ?
WHERE dead_letter_id = ?
