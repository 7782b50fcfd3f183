"""The pipeline of docs/pipelines.md does what the page says."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from reelwork.ledger import Job, JobStatus
from reelwork.runtime.backends import Backends, open_backends
from reelwork.settings import Config

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"
PIPELINE, START = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
ROUNDS_MAX = 10


def module_of(code: str) -> ModuleType:
    module = ModuleType("documented")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    return module


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings of a house in which the page's pipeline is installed under its entry point."""
    package = tmp_path / "package"
    (package / "words-1.0.dist-info").mkdir(parents=True)
    (package / "documented_words.py").write_text(PIPELINE)
    (package / "words-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: words\nVersion: 1.0\n")
    (package / "words-1.0.dist-info" / "entry_points.txt").write_text(
        "[reelwork.pipelines]\nwords = documented_words:pipeline\n"
    )
    monkeypatch.syspath_prepend(package)
    return Config(REELWORK_DATA_DIR=tmp_path / "data")


async def work_off(backends: Backends) -> None:
    """Handles every message there is, and those that come of them."""
    with ThreadPoolExecutor(1) as threads:
        handling = backends.handling(threads)
        for _ in range(ROUNDS_MAX):
            for subscription in backends.catalogue.subscriptions:
                for delivery in await backends.broker.receive(subscription.queue, limit=100, wait_seconds=0):
                    await handling.handle(subscription, delivery)


async def run_job(config: Config, texts: list[str]) -> tuple[Job, bytes, list[str]]:
    job_id = await module_of(START).start(texts, config)
    backends = await open_backends(config)
    try:
        await work_off(backends)
        job = backends.ledger.job(job_id)
        assert job.output_path is not None
        return job, backends.objects.get(job.output_path), [row.topic for row in backends.ledger.outbox(job_id)]
    finally:
        await backends.close()


def test_counts_the_words_of_many_texts_and_completes_once(installed: Config) -> None:
    job, words, topics = asyncio.run(run_job(installed, ["one", "two words", "", "and three more"] * 25))
    assert job.status is JobStatus.COMPLETED
    assert topics.count("texts.completed") == topics.count("job.completed") == 1
    assert words == b"150"


def test_no_texts_are_no_problem(installed: Config) -> None:
    job, words, _ = asyncio.run(run_job(installed, []))
    assert (job.status, words) == (JobStatus.COMPLETED, b"0")
