"""A process hears a PostgreSQL database through a connection; one that is lost can be let go of, and another made."""

from __future__ import annotations

import contextlib
import select

from reelwork.database import EVERYBODY
from reelwork.database.open import open_database
from tests.postgresql import fresh_database, shared_server

HEAR_SECONDS_MAX = 10.0
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
)


def test_a_connection_that_was_cut_is_deaf_and_still_has_its_number() -> None:
    """An event loop needs that number to forget it; without it, it would never listen anew."""
    with fresh_database() as url, contextlib.closing(open_database(url)) as database:
        listener = database.listen()
        number = listener.fileno()
        assert shared_server().execute(CUT, url.rpartition("/")[2]) == [(True,)]
        while select.select([number], [], [], HEAR_SECONDS_MAX)[0] and listener.take() is not None:
            pass  # the server's last words come before the end
        assert listener.take() is None
        assert listener.fileno() == number
        listener.close()
        with contextlib.closing(database.listen()) as anew:
            database.ring()
            assert select.select([anew], [], [], HEAR_SECONDS_MAX)[0]
            assert anew.take() == {EVERYBODY}
