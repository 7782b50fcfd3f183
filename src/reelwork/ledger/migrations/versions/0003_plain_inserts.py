"""The quick way of PostgreSQL inserts plainly. ON CONFLICT looks for every row first, and inserts it in two steps."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PLAIN = """
CREATE OR REPLACE FUNCTION reelwork_record_assets(
    birth_lock bigint, a_job text, a_stage text, ids text[], states text[], weights bigint[], results text[],
    errors text[], times bigint[], done_count bigint, failed_count bigint, weight_sum bigint,
    threshold numeric, watermark bigint, now_ms bigint
) RETURNS void LANGUAGE plpgsql AS $$
-- Records assets of which none is known yet into a stage that they cannot possibly complete; refuses anything else.
-- It only ever says no too often: the rules of completion are elsewhere.
DECLARE
    total bigint := done_count + failed_count;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(birth_lock);
    BEGIN
        IF states IS NULL THEN
            INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, recorded_at)
            SELECT a_job, a_stage, id, 'done', 1, false, 0, now_ms FROM unnest(ids) AS id;
        ELSE
            INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, result, error, recorded_at)
            SELECT a_job, a_stage, id, state, weight, false, 0, result, error, time
            FROM unnest(ids, states, weights, results, errors, times) AS told (id, state, weight, result, error, time);
        END IF;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'an asset is known already' USING ERRCODE = 'RWK01';
    END;
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


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(PLAIN)


def downgrade() -> None:
    """What inserts plainly does the same for the revision before."""
