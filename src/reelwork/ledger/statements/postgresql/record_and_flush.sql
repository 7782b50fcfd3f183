CALL reelwork_record_and_flush(
    $1::bigint, $2::text, $3::text, $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::bigint[],
    $10::bigint, $11::bigint, $12::bigint, $13::numeric, $14::bigint, $15::bigint
)
