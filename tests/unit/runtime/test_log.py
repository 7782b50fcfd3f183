"""Every line of work says what it is about, by the same names; and a line that cannot be written harms nobody."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from reelwork.errors import PermanentError
from reelwork.runtime import Context
from reelwork.runtime.log import configure_log
from tests.house import ITEMS, PLANS, STAGE, Event, ItemsReady, open_house, plain_service, run, stage_service

log = structlog.get_logger("tests")
ABOUT = {"service", "queue", "stage", "job_id", "event_id", "attempt", "trace_id"}


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def plan(_: Event, context: Context) -> None:
    log.info("tests.plan.begun", event_id="its own")
    context.start_job()


def work(_: ItemsReady, context: Context) -> None:
    assert context.asset is not None
    log.info("tests.asset.begun")
    if context.asset.asset_id == "bad":
        raise PermanentError("unreadable")
    if context.asset.asset_id == "odd":
        raise RuntimeError("out of luck")


async def work_inline(event: ItemsReady, context: Context) -> None:
    work(event, context)


@pytest.mark.parametrize("handler", [work, work_inline])
def test_what_a_line_of_work_says(tmp_path: Path, capsys: pytest.CaptureFixture[str], handler: Any) -> None:
    async def test() -> tuple[str, str]:
        async with open_house(tmp_path, plain_service(plan), stage_service(handler)) as house:
            job_id = house.submit()
            await house.settle()
            sent = house.send(job_id, "good", "bad")
            await house.settle()
            house.send(job_id, "odd")
            await house.settle()
            log.info("tests.after.work")
            return job_id, str(sent.event_id)

    configure_log("info", worker="worker-1")
    job_id, event_id = run(test())
    told = lines(capsys.readouterr().err)
    assert {line["worker"] for line in told} == {"worker-1"}
    by_event: dict[str, list[dict[str, Any]]] = {}
    for line in told:
        by_event.setdefault(line["event"], []).append(line)
    trace_id = job_id.replace("-", "")
    assert {line["trace_id"] for line in told if "job_id" in line} == {trace_id}

    (planned,) = by_event["tests.plan.begun"]
    assert (planned["service"], planned["queue"], planned["event_id"]) == ("plans", PLANS, "its own")
    begun = by_event["tests.asset.begun"]
    assert sorted(line["asset_id"] for line in begun) == ["bad", "good", "odd"]
    assert all(set(line) >= ABOUT for line in begun)
    assert begun[0] | {"queue": ITEMS, "stage": STAGE, "service": "items", "attempt": 1} == begun[0]
    (letter,) = by_event["reelwork.worker.dead_letter"]
    assert set(letter) >= ABOUT
    assert (letter["event_id"], letter["asset_ids"], letter["error"]) == (event_id, ["bad"], "bad: unreadable")
    (retry,) = by_event["reelwork.worker.retry"]
    assert set(retry) >= ABOUT | {"after_seconds"}
    assert (retry["asset_ids"], retry["assets"]) == (["odd"], 1)
    (after,) = by_event["tests.after.work"]
    assert not ABOUT & set(after), "nobody is at work any more"


@pytest.mark.parametrize(("form", "is_json"), [("auto", True), ("json", True), ("console", False)])
def test_its_form(capsys: pytest.CaptureFixture[str], form: Any, is_json: bool) -> None:
    """Nobody is watching here."""
    configure_log("warning", form)
    log.info("tests.not.told")
    log.warning("tests.told", job_id="7")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("{") is is_json
    assert "tests.told" in line
    assert "\x1b" not in line, "no colours in a file"


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("broken", ["full", "closed"])
def test_a_disk_that_is_full_stops_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    async def test() -> dict[str, Any]:
        async with open_house(tmp_path, plain_service(plan), stage_service(work)) as house:
            job_id = house.submit()
            await house.settle()
            house.send(job_id, "good", "bad")
            await house.settle()
            return dict(house.states(job_id))

    file = Full() if broken == "full" else io.StringIO()
    if broken == "closed":
        file.close()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setattr(file, "isatty", lambda: False, raising=False)
    configure_log("info")
    assert run(test()) == {"good": "done", "bad": "failed"}
