-- As whoever records assets the quick way holds them; the keys come sorted.
SELECT pg_advisory_xact_lock_shared(key) FROM unnest($1::bigint[]) AS key
