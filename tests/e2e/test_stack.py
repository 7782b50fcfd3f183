"""The same jobs on one machine alone and on three that share nothing but a broker, a database and an object store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from reelwork.ledger import open_ledger
from reelwork.vision import pull_model
from tests import rabbitmq, seaweed
from tests.chaos import clocks
from tests.chaos.clocks import Clock
from tests.clips import write_clip
from tests.e2e.commands import Running, reelwork, running
from tests.machines import Machine, machines
from tests.pipelines.match.job.house import texture, write_product, write_video
from tests.postgresql import fresh_database, shared_server
from tests.proxy import LOOPBACK
from tests.stack import Engine, Served, settings_here, ways
from tests.weights import TEST_MODELS_DIR

THINKING = ("planner", "merger", "match-planner", "product-finder", "video-crawler", "matcher", "evidence-builder")
SEEING = ("analyzer", "product-segmentor", "vision-embedding", "vision-keypoint")
"""Each on a machine of its own, so that no job ends without both."""
ANSWER_SECONDS_MAX = 30
ENVIRONMENT = {"REELWORK_MODELS_DIR": str(TEST_MODELS_DIR)}


@dataclass(frozen=True)
class Work:
    """What is asked for. files: of the match job, by name below its shelf."""

    clip: Path
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Outcome:
    """Of a job. results: as the server gives them. artifacts: by name. The job's id stands nowhere in them."""

    job_id: str
    results: bytes
    artifacts: Mapping[str, bytes]

    @classmethod
    def of(cls, client: httpx.Client, job_id: str) -> Outcome:
        """Waits for its end."""
        ended = reelwork("wait", job_id, "--url", str(client.base_url), "--json")
        assert ended.document["status"] == "completed", ended

        def without_id(path: str) -> bytes:
            return client.get(path).raise_for_status().content.replace(job_id.encode(), b"JOB")

        listed = client.get(f"/jobs/{job_id}/artifacts").raise_for_status().json()["artifacts"]
        artifacts = {artifact["name"]: without_id(artifact["url"]) for artifact in listed}
        return cls(job_id, without_id(f"/video/results/{job_id}"), artifacts)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)
    folder = tmp_path_factory.mktemp("work")
    for number, name in enumerate(("mug", "box")):
        write_product(folder / "products", name, texture(number))
    write_video(folder / "videos" / "kitchen.mp4", texture(0), seconds=4)
    write_video(folder / "videos" / "garden.mp4", None, seconds=4, seed=5)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return Work(write_clip(folder / "clip.mp4", frames=120, size=(96, 64), keyframe_interval=10), files)


@pytest.fixture(scope="module")
def alone(work: Work, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Of one process tree on a folder."""
    data = tmp_path_factory.mktemp("alone")
    with running(["serve", "--data", data, "--port", "0", "--workers", "1"], environment=ENVIRONMENT) as server:
        return outcomes(server.told["url"], work)


def outcomes(url: str, work: Work) -> list[Outcome]:
    """Of an analyze job and a match job, side by side."""
    with httpx.Client(base_url=url, timeout=ANSWER_SECONDS_MAX) as client:
        video = client.post(
            "/video/submit", data={"pipeline_id": "quality+shots"}, files={"file": work.clip.read_bytes()}
        )
        files = [(name.partition("/")[0], (name.partition("/")[2], data)) for name, data in work.files.items()]
        match = client.post("/jobs", data={"pipeline": "match"}, files=files)
        job_ids = [answer.raise_for_status().json()["job_id"] for answer in (video, match)]
        return [Outcome.of(client, job_id) for job_id in job_ids]


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    with fresh_database(migrated=False) as url:
        yield [
            Served({"REELWORK_DATABASE_URL": url}, shared_server().port),
            Served({"REELWORK_BROKER_URL": rabbitmq.fresh_url()}, rabbitmq.shared_server().port),
            Served({"REELWORK_OBJECTS_URL": seaweed.fresh_url(), **seaweed.CREDENTIALS}, seaweed.shared_server().port),
        ]


def test_machines_that_share_no_folder_give_the_same_to_the_byte(
    work: Work, alone: list[Outcome], engines: list[Engine], tmp_path: Path
) -> None:
    with ExitStack() as opened:
        front, thinking, seeing = opened.enter_context(machines("front", "thinking", "seeing", shown=tmp_path))
        serve = ["serve", "--port", "0", "--workers", "0"]
        server = opened.enter_context(running_on(front, engines, *serve))
        for machine, services in ((thinking, THINKING), (seeing, SEEING)):
            opened.enter_context(running_on(machine, engines, "worker", *services, "--concurrency", "1"))
        way_in = front.way_in(int(server.told["url"].rpartition(":")[2]))
        together = outcomes(f"http://{LOOPBACK}:{way_in.port}", work)
    for one, other in zip(alone, together, strict=True):
        assert other.results == one.results
        assert other.artifacts == one.artifacts
    with closing(open_ledger(settings_here(engines)["REELWORK_DATABASE_URL"])) as ledger:
        for outcome in together:
            topics = Counter(row.topic for row in ledger.outbox(outcome.job_id))
            completions = [stage.completion for stage in ledger.stage_status(outcome.job_id)]
            assert completions
            assert all(completion and topics[completion.topic] == 1 for completion in completions)
            assert topics["job.completed"] == 1
            assert ledger.queue_depths(outcome.job_id) == []  # its messages never lay in the database
            assert ledger.dead_letters(outcome.job_id) == []
    assert left_behind(tmp_path) == []


@pytest.mark.skipif(clocks.unavailable() is not None, reason=str(clocks.unavailable()))
def test_a_machine_whose_clock_is_wrong_is_told_so_when_s3_refuses_it(tmp_path: Path) -> None:
    clock = Clock.made_in(tmp_path)
    clock.set_wrong(3_600)
    objects = {"REELWORK_OBJECTS_URL": seaweed.fresh_url(), **seaweed.CREDENTIALS}
    environment = {**objects, **clock.settings, "REELWORK_START_SECONDS": "0"}
    ended = reelwork("worker", "--data", tmp_path / "data", "--json", environment=environment)
    assert ended.status == 1, ended
    assert "set the clock of this machine right" in ended.document["error"]


def running_on(machine: Machine, engines: list[Engine], *command: str) -> AbstractContextManager[Running]:
    environment = {**ENVIRONMENT, **ways(machine, engines).settings}
    return running([*command, "--data", machine.data], environment=environment, prefix=machine.prefix)


def left_behind(shown: Path) -> list[Path]:
    """Files in the one folder that machines could share; where they are folders, their own are none of it."""
    return [path for path in shown.iterdir() if not path.name.startswith("machine-")]
