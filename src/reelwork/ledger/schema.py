"""The tables of the ledger, for SQLite and PostgreSQL. Migrations build them; hot statements are in `statements/`."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

SCHEMA_REVISION: Final = "0004"

metadata = MetaData()
serial = BigInteger().with_variant(Integer, "sqlite")


def _where(condition: str) -> dict[str, Any]:
    """A partial index on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("input_path", Text, nullable=False),
    Column("output_path", Text),
    Column("error_message", Text),
    Column("failed_stage", Text),
    Column("pipeline", Text, nullable=False),
    Column("phase", Text),
    Column("parameters", JSON, nullable=False),
    Column("idempotency_key", Text, unique=True),
    Column("swept_at", BigInteger),
    Index("jobs_by_birth", "created_at", "job_id"),
    Index("jobs_unswept", "updated_at", **_where("swept_at IS NULL")),
    Index("jobs_alive", "status", **_where("status IN ('pending', 'running')")),
)

stages = Table(
    "stages",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expected", BigInteger),
    Column("done", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    Column("done_weight", BigInteger, nullable=False),
    Column("progress", Float, nullable=False),
    Column("watermark_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("closed_at", BigInteger),
    Column("completion", Text),
    PrimaryKeyConstraint("job_id", "stage"),
    Index(
        "stages_due",
        "watermark_at",
        **_where("completed_at IS NULL AND closed_at IS NULL AND watermark_at IS NOT NULL"),
    ),
    Index("stages_open", "job_id", "stage", **_where("completed_at IS NULL AND closed_at IS NULL")),
    sqlite_with_rowid=False,
)

assets = Table(
    "assets",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("weight", BigInteger, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("result", Text),
    Column("error", Text),
    Column("recorded_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("job_id", "stage", "asset_id"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", serial, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("queue", Text),
    Column("is_replay", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("published_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("look_again_at", BigInteger),
    Column("publications", Integer, nullable=False),
    Index("outbox_identity", "event_id", unique=True, **_where("queue IS NULL")),
    Index("outbox_by_job", "job_id", "sequence"),
    Index("outbox_unpublished", "sequence", **_where("published_at IS NULL")),
    Index("outbox_unfinished", "look_again_at", **_where("finished_at IS NULL")),
    sqlite_autoincrement=True,
)

inbox = Table(
    "inbox",
    metadata,
    Column("event_id", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("consumed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("event_id", "queue"),
    sqlite_with_rowid=False,
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("dead_letter_id", serial, primary_key=True, autoincrement=True),
    Column("job_id", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("stage", Text),
    Column("topic", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("replayed_at", BigInteger),
    Index("dead_letters_by_job", "job_id", "dead_letter_id"),
    Index("dead_letters_by_event", "event_id"),
    sqlite_autoincrement=True,
)

announcement_conflicts = Table(
    "announcement_conflicts",
    metadata,
    Column("conflict_id", serial, primary_key=True, autoincrement=True),
    Column("job_id", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("expected", BigInteger),
    Column("announced", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Index("announcement_conflicts_by_job", "job_id"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("beats", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The queues of the `sql` broker lie here too, so that publishing and acknowledging ride in the ledger's transactions.
messages = Table(
    "messages",
    metadata,
    Column("message_id", serial, primary_key=True, autoincrement=True),
    Column("queue", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("is_replay", Boolean, nullable=False),
    Column("enqueued_at", BigInteger, nullable=False),
    Column("visible_at", BigInteger, nullable=False),
    Column("lease", Text),
    Column("deliveries", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("messages_by_queue", "queue", "message_id"),
    Index("messages_by_job", "job_id", "queue"),
    sqlite_autoincrement=True,
)
