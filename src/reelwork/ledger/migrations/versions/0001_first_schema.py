"""The first schema: jobs, stages, assets, outbox, inbox, dead letters, conflicts, and the queues of the sql broker."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "announcement_conflicts",
        sa.Column(
            "conflict_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=True),
        sa.Column("announced", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("conflict_id"),
    )
    op.create_index("announcement_conflicts_by_job", "announcement_conflicts", ["job_id"], unique=False)
    op.create_table(
        "assets",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("asset_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "stage", "asset_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dead_letters",
        sa.Column(
            "dead_letter_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("replayed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("dead_letter_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("dead_letters_by_event", "dead_letters", ["event_id"], unique=False)
    op.create_index("dead_letters_by_job", "dead_letters", ["job_id", "dead_letter_id"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("consumed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "queue"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("input_path", sa.Text(), nullable=False),
        sa.Column("output_path", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("failed_stage", sa.Text(), nullable=True),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("swept_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("job_id"),
        sa.UniqueConstraint("idempotency_key"),
    )
    op.create_index(
        "jobs_alive",
        "jobs",
        ["status"],
        unique=False,
        sqlite_where=sa.text("status IN ('pending', 'running')"),
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.create_index("jobs_by_birth", "jobs", ["created_at", "job_id"], unique=False)
    op.create_index(
        "jobs_unswept",
        "jobs",
        ["updated_at"],
        unique=False,
        sqlite_where=sa.text("swept_at IS NULL"),
        postgresql_where=sa.text("swept_at IS NULL"),
    )
    op.create_table(
        "messages",
        sa.Column(
            "message_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("is_replay", sa.Boolean(), nullable=False),
        sa.Column("enqueued_at", sa.BigInteger(), nullable=False),
        sa.Column("visible_at", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=True),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_by_job", "messages", ["job_id", "queue"], unique=False)
    op.create_index("messages_by_queue", "messages", ["queue", "message_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=True),
        sa.Column("is_replay", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("look_again_at", sa.BigInteger(), nullable=True),
        sa.Column("publications", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_by_job", "outbox", ["job_id", "sequence"], unique=False)
    op.create_index(
        "outbox_identity",
        "outbox",
        ["event_id"],
        unique=True,
        sqlite_where=sa.text("queue IS NULL"),
        postgresql_where=sa.text("queue IS NULL"),
    )
    op.create_index(
        "outbox_unfinished",
        "outbox",
        ["look_again_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "outbox_unpublished",
        "outbox",
        ["sequence"],
        unique=False,
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "stages",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False),
        sa.Column("done_weight", sa.BigInteger(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("watermark_at", sa.BigInteger(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("completion", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "stage"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "stages_due",
        "stages",
        ["watermark_at"],
        unique=False,
        sqlite_where=sa.text("completed_at IS NULL AND closed_at IS NULL AND watermark_at IS NOT NULL"),
        postgresql_where=sa.text("completed_at IS NULL AND closed_at IS NULL AND watermark_at IS NOT NULL"),
    )
    op.create_index(
        "stages_open",
        "stages",
        ["job_id", "stage"],
        unique=False,
        sqlite_where=sa.text("completed_at IS NULL AND closed_at IS NULL"),
        postgresql_where=sa.text("completed_at IS NULL AND closed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "stages_open",
        table_name="stages",
        sqlite_where=sa.text("completed_at IS NULL AND closed_at IS NULL"),
        postgresql_where=sa.text("completed_at IS NULL AND closed_at IS NULL"),
    )
    op.drop_index(
        "stages_due",
        table_name="stages",
        sqlite_where=sa.text("completed_at IS NULL AND closed_at IS NULL AND watermark_at IS NOT NULL"),
        postgresql_where=sa.text("completed_at IS NULL AND closed_at IS NULL AND watermark_at IS NOT NULL"),
    )
    op.drop_table("stages")
    op.drop_index(
        "outbox_unpublished",
        table_name="outbox",
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.drop_index(
        "outbox_unfinished",
        table_name="outbox",
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.drop_index(
        "outbox_identity",
        table_name="outbox",
        sqlite_where=sa.text("queue IS NULL"),
        postgresql_where=sa.text("queue IS NULL"),
    )
    op.drop_index("outbox_by_job", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("messages_by_queue", table_name="messages")
    op.drop_index("messages_by_job", table_name="messages")
    op.drop_table("messages")
    op.drop_index(
        "jobs_unswept",
        table_name="jobs",
        sqlite_where=sa.text("swept_at IS NULL"),
        postgresql_where=sa.text("swept_at IS NULL"),
    )
    op.drop_index("jobs_by_birth", table_name="jobs")
    op.drop_index(
        "jobs_alive",
        table_name="jobs",
        sqlite_where=sa.text("status IN ('pending', 'running')"),
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.drop_table("jobs")
    op.drop_table("inbox")
    op.drop_index("dead_letters_by_job", table_name="dead_letters")
    op.drop_index("dead_letters_by_event", table_name="dead_letters")
    op.drop_table("dead_letters")
    op.drop_table("assets")
    op.drop_index("announcement_conflicts_by_job", table_name="announcement_conflicts")
    op.drop_table("announcement_conflicts")
