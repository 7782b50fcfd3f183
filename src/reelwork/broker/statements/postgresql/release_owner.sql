UPDATE messages
SET visible_at = $1, lease = NULL
WHERE starts_with(lease, $2)
