"""The embedded database: one writer at a time, and a doorbell that never fails a commit."""

from __future__ import annotations

import contextlib
import select
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelwork.database import EVERYBODY, Listener, log
from reelwork.database.doorbell import Doorbell
from reelwork.database.sqlite import SqliteDatabase
from reelwork.errors import StoreUnavailable


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "a.db")
    with database.write() as connection:
        connection.execute("CREATE TABLE counters (value INTEGER)")
        connection.execute("INSERT INTO counters VALUES (0)")
    yield database
    database.close()


def has_rung(listener: Listener) -> bool:
    readable, _, _ = select.select([listener], [], [], 0)
    return bool(readable)


def generation(path: Path) -> bytes:
    """What changes whenever the log is begun anew."""
    with Path(f"{path}-wal").open("rb") as file:
        return file.read(log.HEADER_BYTES)[log.SALTS]


class TestWriting:
    def test_is_fully_durable(self, database: SqliteDatabase) -> None:
        with database.write() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_an_exception_takes_everything_back(self, database: SqliteDatabase) -> None:
        def interrupted() -> None:
            with database.write() as connection:
                connection.execute("UPDATE counters SET value = 7")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert database.read("SELECT value FROM counters") == (0,)

    def test_no_update_is_lost_between_threads_and_openings(self, database: SqliteDatabase) -> None:
        """Two openings stand for two processes: each has a lock file of its own."""
        other = SqliteDatabase(database.path)

        def increment(target: SqliteDatabase) -> None:
            for _ in range(100):
                with target.write() as connection:
                    (value,) = connection.execute("SELECT value FROM counters").fetchone()
                    connection.execute("UPDATE counters SET value = ?", (value + 1,))

        threads = [threading.Thread(target=increment, args=(target,)) for target in (database, other) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert database.read("SELECT value FROM counters") == (400,)
        other.close()

    def test_a_long_log_is_brought_home_and_begun_anew(
        self, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log, "LOG_PAGES", 50)
        other = SqliteDatabase(database.path)  # or the last one to close would bring it home
        with database.write() as connection:
            connection.executemany("INSERT INTO counters VALUES (?)", [(number,) for number in range(50_000)])
        database.close()
        home = database.path.with_name("home.db")
        shutil.copy(database.path, home)
        with contextlib.closing(sqlite3.connect(home)) as alone:
            assert alone.execute("SELECT count(*) FROM counters").fetchone() == (50_001,)
        before = generation(other.path)
        other.run("UPDATE counters SET value = 7 WHERE rowid = 1")
        assert generation(other.path) != before
        other.close()

    def test_readers_do_not_wait_for_a_writer(self, database: SqliteDatabase) -> None:
        with database.write() as connection:
            connection.execute("UPDATE counters SET value = 7")
            assert database.read("SELECT value FROM counters") == (0,)

    def test_what_cannot_be_written_or_read_is_the_stores_error(self, database: SqliteDatabase) -> None:
        with pytest.raises(StoreUnavailable, match="cannot be written"), database.write() as connection:
            connection.execute("INSERT INTO nowhere VALUES (1)")
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            database.read("SELECT * FROM nowhere")


class TestDoorbell:
    def test_reaches_every_listener_of_this_database_and_no_other(
        self, database: SqliteDatabase, tmp_path: Path
    ) -> None:
        elsewhere = Doorbell(tmp_path / "b.db")
        same = Doorbell(database.path)
        listeners = [database.doorbell.listen(), same.listen(), elsewhere.listen()]
        database.doorbell.ring()
        assert [has_rung(listener) for listener in listeners] == [True, True, False]
        for listener in listeners:
            listener.close()
        same.close()
        elsewhere.close()

    def test_a_listener_that_does_not_listen_keeps_nobody_waiting(self, database: SqliteDatabase) -> None:
        deaf, hears = database.doorbell.listen(), database.doorbell.listen()
        for _ in range(5_000):
            database.doorbell.ring()
        assert hears.take() == [EVERYBODY]  # some rings were lost, and their names with them
        assert not has_rung(hears)
        database.doorbell.ring(["a", "b"])
        database.doorbell.ring(["c"])
        assert hears.take() == {"a", "b", "c"}
        deaf.close()
        hears.close()

    def test_one_whose_process_died_is_forgotten(self, database: SqliteDatabase) -> None:
        listener = database.doorbell.listen()
        address = listener.address
        listener.socket.close()
        assert address.exists()
        database.doorbell.ring()
        assert not address.exists()

    def test_the_last_to_hang_up_takes_the_folder_along(self, database: SqliteDatabase) -> None:
        first, second = database.doorbell.listen(), database.doorbell.listen()
        folder = first.address.parent
        first.close()
        assert folder.exists()
        second.close()
        assert not folder.exists()
        third = database.doorbell.listen()
        database.doorbell.ring()
        assert has_rung(third)
        third.close()

    def test_never_raises_and_never_forgets_the_living(self, tmp_path: Path) -> None:
        """It comes after the commit: an error here would make the caller commit again."""
        bell = Doorbell(tmp_path / "a.db")
        bell.ring()  # nobody has listened yet
        listener = bell.listen()
        folder = listener.address.parent
        (folder / "no socket").touch()
        (folder / "a folder").mkdir()
        bell.ring()
        assert has_rung(listener)
        bell.close()
        bell.ring()
        assert listener.address.exists()
        listener.close()
        (folder / "a folder").rmdir()
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
        folder.touch()  # somebody's file in the folder's place
        bell = Doorbell(tmp_path / "a.db")
        bell.ring()
        bell.close()
        folder.unlink()

    def test_addresses_fit_into_what_a_socket_can_hold(self, database: SqliteDatabase) -> None:
        """104 bytes on macOS, whose temporary folder alone takes 49."""
        listener = database.doorbell.listen()
        assert len(str(listener.address)) - len(tempfile.gettempdir()) + 49 < 104
        listener.close()
