"""What PostgreSQL needs besides the tables: ids compared by their bytes, as SQLite does; a hot row that stays in its
page; and the quick way of recording assets. SQLite has nothing to change.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IDS = {
    "announcement_conflicts": ["job_id", "stage"],
    "assets": ["job_id", "stage", "asset_id"],
    "dead_letters": ["job_id", "queue", "stage", "topic", "event_id"],
    "inbox": ["event_id", "queue"],
    "jobs": ["job_id", "idempotency_key", "status", "pipeline"],
    "messages": ["queue", "job_id", "event_id", "lease"],
    "outbox": ["event_id", "job_id", "topic", "queue"],
    "stages": ["job_id", "stage"],
}

# Every group of a stage writes its row: room for the new versions beside the old, and vacuum that comes in time.
HOT_STAGES = "fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000"
BUSY_QUEUE = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000"

RECORD_ASSETS = """
CREATE FUNCTION reelwork_record_assets(
    birth_lock bigint, a_job text, a_stage text, ids text[], states text[], weights bigint[], results text[],
    errors text[], times bigint[], done_count bigint, failed_count bigint, weight_sum bigint,
    threshold numeric, watermark bigint, now_ms bigint
) RETURNS void LANGUAGE plpgsql AS $$
-- Records assets of which none is known yet into a stage that they cannot possibly complete; refuses anything else.
-- It only ever says no too often: the rules of completion are elsewhere.
DECLARE
    recorded bigint;
    total bigint := done_count + failed_count;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(birth_lock);
    IF states IS NULL THEN
        INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, recorded_at)
        SELECT a_job, a_stage, id, 'done', 1, false, 0, now_ms FROM unnest(ids) AS id
        ON CONFLICT DO NOTHING;
    ELSE
        INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, result, error, recorded_at)
        SELECT a_job, a_stage, id, state, weight, false, 0, result, error, time
        FROM unnest(ids, states, weights, results, errors, times) AS told (id, state, weight, result, error, time)
        ON CONFLICT DO NOTHING;
    END IF;
    GET DIAGNOSTICS recorded = ROW_COUNT;
    IF recorded <> total THEN
        RAISE EXCEPTION 'an asset is known already' USING ERRCODE = 'RWK01';
    END IF;
    UPDATE stages
    SET done = done + done_count, failed = failed + failed_count, done_weight = done_weight + weight_sum,
        progress = greatest(progress, (done + failed + total)::float8 / expected::float8), watermark_at = watermark
    WHERE job_id = a_job AND stage = a_stage AND completed_at IS NULL AND closed_at IS NULL
        AND done + failed + total < expected AND (done + failed + total) * 100 < expected * threshold;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the stage may be complete' USING ERRCODE = 'RWK02';
    END IF;
END $$
"""
RECORD_AND_FLUSH = """
CREATE PROCEDURE reelwork_record_and_flush(
    birth_lock bigint, a_job text, a_stage text, ids text[], states text[], weights bigint[], results text[],
    errors text[], times bigint[], done_count bigint, failed_count bigint, weight_sum bigint,
    threshold numeric, watermark bigint, now_ms bigint
) LANGUAGE plpgsql AS $$
-- The row of the stage is free again before the disk is waited for; the second commit waits for both.
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM reelwork_record_assets(
        birth_lock, a_job, a_stage, ids, states, weights, results, errors, times, done_count, failed_count,
        weight_sum, threshold, watermark, now_ms
    );
    COMMIT;
    PERFORM pg_logical_emit_message(true, 'reelwork', '');
END $$
"""
SIGNATURE = (
    "(bigint, text, text, text[], text[], bigint[], text[], text[], bigint[], bigint, bigint, "
    "bigint, numeric, bigint, bigint)"
)


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    _collate("C")
    op.drop_index("stages_due", "stages")  # with the watermark in an index, no update of a stage stays in its page
    op.execute(f"ALTER TABLE stages SET ({HOT_STAGES})")
    op.execute(f"ALTER TABLE messages SET ({BUSY_QUEUE})")
    op.execute(RECORD_ASSETS)
    op.execute(RECORD_AND_FLUSH)


def downgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(f"DROP PROCEDURE reelwork_record_and_flush{SIGNATURE}")
    op.execute(f"DROP FUNCTION reelwork_record_assets{SIGNATURE}")
    op.execute("ALTER TABLE messages RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)")
    op.execute("ALTER TABLE stages RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)")
    op.execute(
        "CREATE INDEX stages_due ON stages (watermark_at) "
        "WHERE completed_at IS NULL AND closed_at IS NULL AND watermark_at IS NOT NULL"
    )
    _collate("default")


def _collate(collation: str) -> None:
    for table, columns in IDS.items():
        changes = ", ".join(f'ALTER COLUMN {column} TYPE text COLLATE "{collation}"' for column in columns)
        op.execute(f"ALTER TABLE {table} {changes}")
