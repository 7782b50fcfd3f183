INSERT INTO leases (name, owner, beats)
VALUES (?1, ?2, ?4 + 1)
ON CONFLICT (name) DO UPDATE
SET owner = excluded.owner, beats = excluded.beats
WHERE leases.owner = ?3 AND leases.beats = ?4
