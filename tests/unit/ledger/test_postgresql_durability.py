"""PostgreSQL: what was confirmed survives a server that is killed, and nothing is told of that may yet vanish."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count

import psycopg
import pytest

from reelwork.database import postgresql
from reelwork.errors import StoreUnavailable, StoreUnreachable, WriteConflict
from reelwork.events import VideoSubmitted
from reelwork.ledger import Inbox, JobStatus, Ledger, Work, open_ledger
from reelwork.ledger.sql import SqlLedger
from tests.conformance.ledger.stores import announced, dead_letter, done, failed, moved, new_job, running_job, status
from tests.postgresql import PostgresqlServer, fresh_database, postgresql_server, shared_server
from tests.processes import ready_children

WITNESSED_MIN = 40
NOBODY = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
WAITING = "pg_stat_activity WHERE wait_event = 'SyncRep'"
ANYBODY = "ALTER SYSTEM RESET synchronous_standby_names"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    shared_server()  # skips or fails where there is none
    with postgresql_server(durable=True) as server:
        yield server


def test_what_was_confirmed_is_there_after_the_server_was_killed(server: PostgresqlServer) -> None:
    """Three processes, the quick way and the ordinary one, completions among them; twice."""
    url = server.new_database()
    with closing(open_ledger(url)) as ledger:
        ledger.commit(announced("frames", 1_000_000))
    confirmed: set[tuple[str, ...]] = set()
    for life in range(2):
        arguments = [(url, f"{life}-{name}") for name in "abc"]
        with ready_children("tests.unit.ledger.confirming", arguments) as children:
            for child in children:
                child.go()
            for child in children:
                confirmed |= {tuple(child.line().split()) for _ in range(WITNESSED_MIN)}
            server.kill()
            for child in children:
                while line := child.line():
                    confirmed.add(tuple(line.split()))
            server.restart()
    with closing(open_ledger(url)) as ledger:
        recorded = {("asset", "frames", asset.asset_id) for asset in ledger.assets("job", "frames")}
        stages = ledger.stage_status("job")
        recorded |= {("completion", stage.stage) for stage in stages if stage.completion is not None}
        assert confirmed - recorded == set()
        told = [row.event_id for row in ledger.outbox("job")]
        assert sorted(told) == sorted(stage.completion.event_id for stage in stages if stage.completion is not None)
        counted = status(ledger, "frames").done
        assert counted == len([row for row in recorded if row[0] == "asset"])


class TestWhatOthersSee:
    """While a commit waits for a disk, here a standby that never answers: whatever is seen by then could yet vanish."""

    @pytest.fixture
    def ledger(self, server: PostgresqlServer) -> Iterator[SqlLedger]:
        url = server.new_database()
        with closing(open_ledger(url)) as ledger:
            running_job(ledger)
            ledger.commit_all([announced("frames", 1), announced("big", 1_000), Work(dead_letters=[dead_letter()])])
            self.hold(server)
            try:
                yield ledger
            finally:
                self.let_go(server)

    def hold(self, server: PostgresqlServer) -> None:
        """Returns when commits wait, which is a while after the server was told."""
        server.execute(NOBODY)
        server.execute("SELECT pg_reload_conf()")

        def commit_until_it_waits() -> None:
            with psycopg.connect(server.url(), autocommit=True) as connection:
                while not is_held.is_set():
                    connection.execute("SELECT pg_logical_emit_message(true, '', '')")

        is_held = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            committing: Future[object] = thread.submit(commit_until_it_waits)
            self.waiting(server, committing)
            is_held.set()
            server.execute(f"SELECT pg_cancel_backend(pid) FROM {WAITING}")

    def let_go(self, server: PostgresqlServer) -> None:
        server.execute(ANYBODY)
        server.execute("SELECT pg_reload_conf()")

    def waiting(self, server: PostgresqlServer, commit: Future[object]) -> None:
        """Until the commit waits for the disk."""
        while not server.execute(f"SELECT 1 FROM {WAITING}"):
            assert not commit.done()

    @pytest.mark.parametrize(
        ("work", "see"),
        [
            (done("frames", "a"), lambda ledger: status(ledger, "frames").completion),
            (done("frames", "a"), lambda ledger: ledger.outbox("job")),
            (Work(events=[VideoSubmitted(job_id="job")]), lambda ledger: ledger.unpublished()),
            (moved(JobStatus.FAILED), lambda ledger: ledger.job("job").status is JobStatus.FAILED),
            (moved(JobStatus.CANCELLED), lambda ledger: status(ledger, "big").closed_at),
            (Work(new_job=new_job("other")), lambda ledger: ledger.find_jobs(["other"])),
            (Work(dead_letters=[dead_letter("b")]), lambda ledger: ledger.dead_letters()[1:]),
            (Work(replay=1), lambda ledger: ledger.dead_letters()[0].replayed_at),
        ],
        ids=["completion", "its event", "event", "move", "cancel", "new job", "dead letter", "replay"],
    )
    def test_nothing_that_might_vanish(
        self, server: PostgresqlServer, ledger: SqlLedger, work: Work, see: Callable[[Ledger], object]
    ) -> None:
        with ThreadPoolExecutor(1) as thread:
            commit: Future[object] = thread.submit(ledger.commit, work)
            self.waiting(server, commit)
            seen = see(ledger)
            self.let_go(server)
            commit.result()
        assert not seen
        assert see(ledger)

    @pytest.mark.parametrize(
        "work",
        [done("big", "a"), done("big", "a", inbox=Inbox("q", "e")), failed("big", "a", "b")],
        ids=["quick", "with an inbox row", "failures"],
    )
    def test_assets_may_be_seen_early_but_are_not_confirmed(
        self, server: PostgresqlServer, ledger: SqlLedger, work: Work
    ) -> None:
        """So that nobody waits for the row of a hot stage as long as for the disk."""
        with ThreadPoolExecutor(1) as thread:
            commit: Future[object] = thread.submit(ledger.commit, work)
            self.waiting(server, commit)
            seen = len(list(ledger.assets("job", "big")))
            is_confirmed = commit.done()
            self.let_go(server)
            commit.result()
        assert seen >= 1
        assert not is_confirmed


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as url:
        yield url


def test_connections_cut_in_the_middle_of_commits(url: str) -> None:
    """Whoever is cut off hears of a store that is away, never of a refusal by what he himself has just recorded."""
    stop = threading.Event()

    def create(ledger: Ledger, name: str) -> tuple[list[str], list[Exception]]:
        confirmed: list[str] = []
        errors: list[Exception] = []
        for number in count():
            if stop.is_set():
                break
            jobs = [f"{name}-{number}-{each}" for each in range(3)]
            works = [Work(new_job=new_job(job_id), dead_letters=[dead_letter(job_id=job_id)]) for job_id in jobs]
            for job_id, result in zip(jobs, ledger.commit_all(works), strict=True):
                if isinstance(result, Exception):
                    errors.append(result)
                else:
                    confirmed.append(job_id)
        return confirmed, errors

    cut = (
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE state <> 'idle' "
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    with ExitStack() as opened:
        ledgers = {name: opened.enter_context(closing(open_ledger(url))) for name in "abcd"}
        threads = opened.enter_context(ThreadPoolExecutor(len(ledgers)))
        killer = opened.enter_context(psycopg.connect(url, autocommit=True))
        running = [threads.submit(create, ledger, name) for name, ledger in ledgers.items()]
        cuts: set[int] = set()
        while len(cuts) < 100:
            cuts |= {pid for pid, _ in killer.execute(cut)}
        stop.set()
        told = [future.result() for future in running]
    confirmed = [job_id for jobs, _ in told for job_id in jobs]
    assert {type(error) for _, errors in told for error in errors} <= {StoreUnreachable}
    with psycopg.connect(url) as reader:
        recorded = {row[0] for row in reader.execute("SELECT job_id FROM jobs")}
        letters = [row[0] for row in reader.execute("SELECT job_id FROM dead_letters")]
    assert set(confirmed) - recorded == set()
    assert sorted(letters) == sorted(recorded)  # one each: nothing by halves, nothing twice


def test_a_lock_that_is_never_let_go_ends_the_waiting_and_records_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "SESSION", postgresql.SESSION + b"; SET lock_timeout = 50")
    with closing(open_ledger(url)) as ledger, psycopg.connect(url) as other:
        ledger.commit(announced("frames", 100))
        other.execute("SELECT 1 FROM stages FOR UPDATE")
        works = [done("frames", "a", inbox=Inbox("q", "e")), announced("faces", 1)]
        blocked, neighbour = ledger.commit_all(works)
        assert isinstance(blocked, WriteConflict)
        assert isinstance(blocked, StoreUnavailable)
        assert neighbour == []
        other.rollback()
        assert list(ledger.assets("job", "frames")) == []
        assert ledger.consumers(["e"]) == {"e": {}}
        assert ledger.commit(works[0]) == []
        assert status(ledger, "frames").done == 1


def test_an_error_that_a_caller_swallowed_is_not_taken_for_a_commit(url: str) -> None:
    with closing(open_ledger(url)) as ledger:

        def swallow() -> None:
            with ledger.database.write() as connection:
                connection.execute("INSERT INTO inbox VALUES ('event', 'queue', 0)")
                with pytest.raises(psycopg.Error):
                    _ = connection.execute("SELECT 1/0").rowcount

        with pytest.raises(StoreUnavailable):
            swallow()
        assert ledger.consumers(["event"]) == {"event": {}}
