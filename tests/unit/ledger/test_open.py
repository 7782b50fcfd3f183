"""Opening a ledger: new, old, newer, broken or not a database at all; and the schema that the migrations build."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.ledger import NewJob, Work, open_ledger
from reelwork.ledger.schema import SCHEMA_REVISION, metadata

DIES_IN_THE_MIGRATION = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from reelwork.ledger import open_ledger

left = int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def count(connection, cursor, statement, *rest):
    global left
    left -= statement.lstrip().startswith("CREATE")
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

open_ledger(sys.argv[1])
"""

UNPRIVILEGED = 65534
WRITES_AS_NOBODY = """
import os, sys
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.ledger import NewJob, Work, open_ledger

if os.getuid() == 0:
    os.setuid(int(sys.argv[2]))
try:
    ledger = open_ledger(sys.argv[1])
    ledger.commit(Work(new_job=NewJob(job_id="job", pipeline="analyze", input_path="x")))
except (ConfigurationError, StoreUnavailable) as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reelwork.db"


def job(job_id: str = "job") -> Work:
    return Work(new_job=NewJob(job_id=job_id, pipeline="analyze", input_path="input/source.mp4"))


class TestFile:
    def test_a_new_one_is_made_with_its_folder(self, tmp_path: Path) -> None:
        ledger = open_ledger(f"sqlite:///{tmp_path}/a/b/reelwork.db")
        ledger.commit(job())
        ledger.close()
        assert (tmp_path / "a/b/reelwork.db").is_file()

    @pytest.mark.parametrize("name", ["a b.db", "größe.db", "100%.db", "it's.db", "a#b.db"])
    def test_any_name_will_do(self, tmp_path: Path, name: str) -> None:
        ledger = open_ledger(f"sqlite:///{tmp_path}/{name}")
        ledger.commit(job())
        assert ledger.job("job").job_id == "job"
        ledger.close()
        assert (tmp_path / name).is_file()

    def test_closing_twice_is_harmless(self, url: str) -> None:
        ledger = open_ledger(url)
        ledger.close()
        ledger.close()

    @pytest.mark.parametrize(
        ("bad", "says"),
        [
            ("mysql://localhost/reelwork", "not supported"),
            ("cassandra://host", "not supported"),
            ("sqlite://", "file"),
            ("sqlite:///:memory:", "file"),
            ("reelwork.db", "not a database URL"),
            ("", "not a database URL"),
        ],
    )
    def test_other_urls_are_refused(self, bad: str, says: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            open_ledger(bad)

    @pytest.mark.parametrize(
        "content", [b"this is no database, however long you look at it" * 100, b"SQLite format 3\0" + b"x" * 5000]
    )
    def test_a_file_that_is_no_database(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "reelwork.db"
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=str(path)):
            open_ledger(f"sqlite:///{path}")
        assert path.read_bytes() == content

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="cannot open"):
            open_ledger(f"sqlite:///{tmp_path}")

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigurationError, match="cannot open"):
            open_ledger(f"sqlite:///{tmp_path}/file/reelwork.db")

    def test_somebody_elses_database(self, tmp_path: Path) -> None:
        path = tmp_path / "reelwork.db"
        foreign = sqlite3.connect(path)
        foreign.execute("CREATE TABLE jobs (salary INTEGER)")
        foreign.close()
        with pytest.raises(ConfigurationError, match="not a Reelwork database, open another"):
            open_ledger(f"sqlite:///{path}")
        foreign = sqlite3.connect(path)
        assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("jobs",)]
        foreign.close()

    def test_one_from_a_newer_reelwork(self, tmp_path: Path, url: str) -> None:
        open_ledger(url).close()
        newer = sqlite3.connect(tmp_path / "reelwork.db")
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
        newer.close()
        with pytest.raises(ConfigurationError, match="Upgrade reelwork"):
            open_ledger(url)

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_a_read_only_one(self, what: str) -> None:
        """In a process without root's rights, for which nothing is read-only."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o777 if what == "file" else 0o755)
            path = folder / "reelwork.db"
            if what == "file":
                open_ledger(f"sqlite:///{path}").close()
                for file in folder.iterdir():
                    file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
            elif os.getuid() != 0:
                folder.chmod(0o555)
            script = subprocess.run(
                [sys.executable, "-c", WRITES_AS_NOBODY, f"sqlite:///{path}", str(UNPRIVILEGED)],
                capture_output=True,
                text=True,
                check=False,
            )
            folder.chmod(0o755)
        assert script.stdout.partition(" ")[0] in ("ConfigurationError", "StoreUnavailable"), script.stderr
        assert str(path) in script.stdout


class TestSchema:
    @pytest.fixture
    def connection(self, tmp_path: Path) -> Iterator[Connection]:
        engine = create_engine(f"sqlite:///{tmp_path}/schema.db")
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    @pytest.fixture
    def config(self, connection: Connection) -> Config:
        config = Config()
        config.set_main_option("script_location", "reelwork.ledger:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        return config

    def test_the_migrations_build_what_the_tables_say(self, tmp_path: Path, url: str) -> None:
        open_ledger(url).close()
        engine = create_engine(url)
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, metadata) == []
        engine.dispose()
        bare = sqlite3.connect(tmp_path / "bare.db")
        engine = create_engine(f"sqlite:///{tmp_path}/bare.db")
        metadata.create_all(engine)
        engine.dispose()
        built = sqlite3.connect(tmp_path / "reelwork.db")
        query = "SELECT type, name, tbl_name FROM sqlite_master WHERE tbl_name NOT LIKE 'alembic%'"
        assert sorted(built.execute(query)) == sorted(bare.execute(query))
        for table in metadata.tables:
            numbering = f"SELECT sql LIKE '%AUTOINCREMENT%' FROM sqlite_master WHERE name = '{table}'"
            assert built.execute(numbering).fetchone() == bare.execute(numbering).fetchone(), f"numbering of {table}"
            flags = f"SELECT wr FROM pragma_table_list('{table}')"
            assert built.execute(flags).fetchone() == bare.execute(flags).fetchone(), f"WITHOUT ROWID of {table}"
        built.close()
        bare.close()

    def test_the_revision_is_the_scripts_head(self, config: Config) -> None:
        assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_REVISION]

    def test_every_migration_can_be_undone_and_done_again(self, config: Config, connection: Connection) -> None:
        command.upgrade(config, "head")
        command.downgrade(config, "base")
        left = (
            connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").scalars().all()
        )
        assert left == ["alembic_version"] or left == ["alembic_version", "sqlite_autoindex_alembic_version_1"]
        command.upgrade(config, "head")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    @pytest.mark.parametrize("creates", [1, 2, 9, 20])
    def test_a_process_killed_in_the_migration_leaves_nothing_half_done(self, url: str, creates: int) -> None:
        killed = subprocess.run([sys.executable, "-c", DIES_IN_THE_MIGRATION, url, str(creates)], check=False)
        assert killed.returncode == -9
        ledger = open_ledger(url)
        ledger.commit(job())
        ledger.close()


def test_a_full_disk_is_the_stores_error_and_writes_go_on_when_there_is_room(url: str) -> None:
    """`max_page_count` is SQLite's own way of running out of room."""
    ledger = open_ledger(url)
    with ledger.database.write() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    (refusal,) = {str(error) for error in ledger.commit_all([job(f"job-{n}") for n in range(1_000)]) if error}
    assert "full" in refusal
    with pytest.raises(StoreUnavailable, match="full"):
        ledger.commit(job("one more"))
    recorded = len(ledger.jobs(limit=1_000))
    with ledger.database.write() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages + 1_000}")
    ledger.commit(job("last"))
    assert len(ledger.jobs(limit=1_000)) == recorded + 1
    ledger.close()
