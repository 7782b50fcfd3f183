"""One job on separate processes is one trace, connected, from submit to completion, in a real collector."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.clips import write_clip
from tests.e2e.commands import reelwork, running
from tests.otlp import Span, collector, unconnected
from tests.valkey import shared_server

CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def by_name(spans: list[Span]) -> dict[str, Span]:
    return {span.name: span for span in spans}


def test_a_job_is_one_trace_over_processes_and_a_broker(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60, size=(96, 64), keyframe_interval=10, bframes=0)
    server_of_messages = shared_server()
    url = server_of_messages.url(prefix=server_of_messages.new_prefix())
    with collector() as here:
        shared = {"REELWORK_BROKER_URL": url, **here.environment, "OTEL_SERVICE_NAME": "cinema"}
        data = ("--data", tmp_path / "data")
        with (
            running(["serve", *data, "--port", "0", "--workers", "0"], environment=shared) as server,
            running(["worker", *data, "--concurrency", "1"], environment=shared) as worker,
        ):
            form: dict[str, Any] = {"data": {"pipeline_id": "quality"}, "headers": {"traceparent": CLIENT}}
            with clip.open("rb") as file:
                address = server.told["url"]
                answer = httpx.post(f"{address}/video/submit", files={"file": file}, timeout=60, **form)
            job_id = answer.json()["job_id"]
            ended = reelwork("wait", job_id, "--url", address, "--json")
            assert ended.document["status"] == "completed"
            assert worker.stop(signal.SIGTERM) == 0
            assert server.stop(signal.SIGTERM) == 0
        spans = here.spans
    assert {span.trace_id for span in spans} == {job_id.replace("-", "")}
    assert len({span.span_id for span in spans}) == len(spans)
    assert unconnected(spans) == []
    names = Counter(span.name for span in spans)
    assert names == {
        "submit analyze": 1,
        "publish video.submitted": 1,
        "process q.analyze.jobs": 1,
        "publish video.ranges.batch": 1,
        "publish video.range.ready": 1,
        "process q.analyzer.ranges.batch": 1,
        "process q.analyzer.ranges": 1,
        "complete video.ranges": 1,
        "move to results": 1,
        "process q.merger.ranges.completed": 1,
        "publish job.completed": 1,
    }
    found = by_name(spans)
    (root,) = (span for span in spans if not span.parent_id)
    assert (root.name, root.kind, root.links) == ("submit analyze", "server", ["/".join(CLIENT.split("-")[1:3])])
    assert found["process q.merger.ranges.completed"].parent_id == found["complete video.ranges"].span_id
    assert found["publish job.completed"].parent_id == found["process q.merger.ranges.completed"].span_id
    asset = found["process q.analyzer.ranges"]
    assert (asset.kind, asset.attributes["reelwork.stage"], asset.attributes["reelwork.assets"]) == (
        "consumer",
        "video.ranges",
        1,
    )
    assert {span.resource["service.name"] for span in spans} == {"cinema"}
    assert len({span.resource["service.instance.id"] for span in spans}) == 2
    assert all(span.started_ns <= span.ended_ns for span in spans)
    assert all(span.error is None for span in spans)
