UPDATE messages
SET visible_at = ?1, lease = NULL
WHERE substr(lease, 1, length(?2)) = ?2
