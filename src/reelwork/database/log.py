"""SQLite's write-ahead log, kept short beside the writers.

SQLite brings the pages of a long log home (a checkpoint) inside the commit that made it long, while every other writer
waits for the lock. Here a thread does it, and the writers wait for the last few pages only. Never opens the database
itself: closing such a file would take SQLite's locks away from the whole process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import structlog

LOG_PAGES: Final = 4_000  # 16 MB: the same pages change again and again, and are brought home once for all of that
LOG_PAGES_MAX: Final = 4 * LOG_PAGES  # a writer that finds so many brings them home itself
HEADER_BYTES: Final = 32  # of the log; then its frames: https://www.sqlite.org/fileformat2.html#walformat
FRAME_HEADER_BYTES: Final = 24
PAGE_SIZE: Final = slice(8, 12)
SALTS: Final = slice(16, 24)  # of this beginning of the log; a frame from before has others
FRAME_SALTS: Final = slice(8, 16)

log = structlog.get_logger("reelwork.database")


class Log:
    """The log of a database that somebody keeps open as long as this. connect: a connection for checkpoints.

    alone: keeps all writers out.
    """

    def __init__(
        self,
        database: Path,
        *,
        connect: Callable[[], sqlite3.Connection],
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._path = f"{database}-wal"
        self._connect = connect
        self._alone = alone
        self._file: int | None = None
        self._mutex = threading.Lock()
        self._is_at_it = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reelwork-checkpoint")

    def keep_short(self) -> None:
        """Has the log brought home if it is long. Never raises: it comes after a commit."""
        try:
            is_long = self._is_long()
        except OSError as error:
            log.warning("reelwork.database.log_unreadable", error=str(error))
            return
        if is_long and self._is_at_it.acquire(blocking=False):
            self._thread.submit(self._bring_home)

    def _is_long(self) -> bool:
        """Whether frame number LOG_PAGES was written since the log began anew."""
        with self._mutex:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        header = os.pread(self._file, HEADER_BYTES, 0)
        frame_bytes = FRAME_HEADER_BYTES + int.from_bytes(header[PAGE_SIZE], "big")
        frame = os.pread(self._file, FRAME_HEADER_BYTES, HEADER_BYTES + LOG_PAGES * frame_bytes)
        return len(frame) == FRAME_HEADER_BYTES and frame[FRAME_SALTS] == header[SALTS]

    def _bring_home(self) -> None:
        try:
            with contextlib.closing(self._connect()) as connection:
                for _ in range(2):  # most of it, and what was written meanwhile
                    is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if is_busy:  # another process is at it
                        return
                with self._alone():  # the rest, so that the next writer begins the log anew
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (sqlite3.Error, OSError) as error:  # the log grows, until a writer does it
            log.warning("reelwork.database.checkpoint_failed", error=str(error))
        finally:
            self._is_at_it.release()

    def close(self) -> None:
        self._thread.shutdown()
        if self._file is not None:
            os.close(self._file)
            self._file = None
