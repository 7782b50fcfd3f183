-- Whoever records assets the quick way holds these in common; a group that decides anything holds them alone. The keys
-- come sorted, and stand for what may not have a row to lock yet.
SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key
