SELECT owner, beats
FROM leases
WHERE name = ?1
