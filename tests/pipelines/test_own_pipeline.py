"""The pipeline of docs/pipelines.md does what the page says."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from uuid import uuid4

from reelwork.ledger import Job, JobStatus
from reelwork.runtime import Catalogue
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.jobs import Jobs
from reelwork.settings import Config

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"
ROUNDS_MAX = 10


def documented_pipeline() -> ModuleType:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    module = ModuleType("words")
    exec(compile(code[1], str(PAGE), "exec"), module.__dict__)
    return module


async def work_off(backends: Backends) -> None:
    """Handles every message there is, and those that come of them."""
    with ThreadPoolExecutor(1) as threads:
        handling = backends.handling(threads)
        for _ in range(ROUNDS_MAX):
            for subscription in backends.catalogue.subscriptions:
                for delivery in await backends.broker.receive(subscription.queue, limit=100, wait_seconds=0):
                    await handling.handle(subscription, delivery)


async def run_job(folder: Path, texts: list[str]) -> tuple[Job, bytes, list[str]]:
    catalogue = Catalogue.of([documented_pipeline().pipeline])
    backends = await open_backends(Config(REELWORK_DATA_DIR=folder), catalogue=catalogue)
    try:
        job_id = Jobs(backends.ledger, catalogue).create(
            "words", job_id=uuid4(), input_path="none", parameters={"texts": texts}
        )
        await work_off(backends)
        job = backends.ledger.job(job_id)
        assert job.output_path is not None
        return job, backends.objects.get(job.output_path), [row.topic for row in backends.ledger.outbox(job_id)]
    finally:
        await backends.close()


def test_counts_the_words_of_many_texts_and_completes_once(tmp_path: Path) -> None:
    job, words, topics = asyncio.run(run_job(tmp_path, ["one", "two words", "", "and three more"] * 25))
    assert job.status is JobStatus.COMPLETED
    assert topics.count("texts.completed") == topics.count("job.completed") == 1
    assert words == b"150"


def test_no_texts_are_no_problem(tmp_path: Path) -> None:
    job, words, _ = asyncio.run(run_job(tmp_path, []))
    assert (job.status, words) == (JobStatus.COMPLETED, b"0")
