"""The page that Prometheus reads: in its format, true to the ledger and the queues, and useless to strangers."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from reelwork.ledger import AssetOutcome, AssetState, Work
from reelwork.runtime.metrics import present
from tests.unit.api.conftest import PARTS, Server, ServerMaker, dead_letter

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def numbers(server: Server) -> Mapping[tuple[str, ...], float]:
    """By name and values of labels, in the order of their names."""
    answer = server.get("/metrics")
    assert answer.status_code == 200, answer.text
    families = plain_text(answer.text)
    return {(s.name, *(s.labels[k] for k in sorted(s.labels))): s.value for f in families for s in f.samples}


@pytest.fixture
def server(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Its numbers are never old."""
    monkeypatch.setattr(present, "KEPT_SECONDS", 0.0)
    return server


def test_what_there_is(server: Server, video: bytes) -> None:
    before = numbers(server)
    assert (before["reelwork_jobs", "pending"], before["reelwork_queue_messages", "q.tiny.jobs", "waiting"]) == (0, 0)
    job_id = server.submit(video)
    server.submit(video)
    server.start(job_id)
    server.record(job_id, AssetOutcome("a", AssetState.DONE))
    server.ledger.commit(Work(dead_letters=[dead_letter(job_id)]))
    asyncio.run(server.backends.broker.receive("q.tiny.jobs", limit=1, wait_seconds=0))
    found = numbers(server)
    assert (found["reelwork_jobs", "pending"], found["reelwork_jobs", "running"]) == (1, 1)
    assert found["reelwork_open_stages", PARTS] == 1
    assert found["reelwork_open_dead_letters", "q.tiny.jobs"] == 1
    assert found["reelwork_queue_messages", "q.tiny.jobs", "waiting"] == 1
    assert found["reelwork_queue_messages", "q.tiny.jobs", "in_hand"] == 1
    assert found["reelwork_queue_messages", "q.tiny.parts", "waiting"] == 0
    assert found["reelwork_outbox_unpublished",] == 0
    submitted = ("reelwork_jobs_submitted_total", "analyze")
    assert found[submitted] - before.get(submitted, 0) == 2
    assert (found["reelwork_backend_up", "ledger"], found["reelwork_backend_up", "broker"]) == (1, 1)


def test_nothing_in_it_grows_with_the_jobs(server: Server, video: bytes) -> None:
    job_ids = [server.submit(video) for _ in range(2)]
    first = set(numbers(server))
    server.submit(video)
    assert set(numbers(server)) == first
    assert not any(job_id in server.get("/metrics").text for job_id in job_ids)


def test_the_documents_hold_every_metric_and_no_other(server: Server, video: bytes) -> None:
    server.submit(video)
    told = set(re.findall(r"^# TYPE (reelwork_\w+)", server.get("/metrics").text, re.MULTILINE))
    root = Path(__file__).parents[3]
    document = (root / "docs" / "observability.md").read_text()
    assert set(re.findall(r"^\| `(reelwork_\w+)`", document, re.MULTILINE)) == told
    dashboard = json.dumps(json.loads((root / "infra" / "grafana" / "reelwork.json").read_text()))
    names = re.findall(r"reelwork_[a-z_]+", document + dashboard)
    named = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    assert named <= told


def test_open_metrics_where_it_is_asked_for(server: Server) -> None:
    answer = server.get("/metrics", headers={"Accept": OPEN_METRICS})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {family.name for family in open_metrics(answer.text)} > {"reelwork_retries", "reelwork_queue_messages"}


def test_askers_share_one_look(server: Server, monkeypatch: pytest.MonkeyPatch, video: bytes) -> None:
    monkeypatch.setattr(present, "KEPT_SECONDS", 600.0)
    assert numbers(server)["reelwork_jobs", "pending"] == 0
    server.submit(video)
    assert numbers(server)["reelwork_jobs", "pending"] == 0


def test_a_database_that_is_away_is_told_and_what_was_counted_still_is(server: Server) -> None:
    data = server.backends.config.REELWORK_DATA_DIR
    data.rename(data.with_name("elsewhere"))
    found = numbers(server)
    assert found["reelwork_backend_up", "ledger"] == 0
    assert ("reelwork_jobs", "pending") not in found
    assert ("reelwork_retries_total", "q.tiny.parts") in found


def test_strangers_are_refused(make_server: ServerMaker) -> None:
    with make_server(REELWORK_API_TOKEN="secret") as server:
        assert server.get("/metrics").status_code == 401
        assert server.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_without_prometheus_client_everything_else_works(
    server: Server, monkeypatch: pytest.MonkeyPatch, video: bytes
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    server.submit(video)
    answer = server.get("/metrics")
    assert (answer.status_code, "pip install 'reelwork[metrics]'" in answer.json()["detail"]) == (501, True)
