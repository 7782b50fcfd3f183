"""The commands of `infra/pvm/compose.yaml` as plain processes, with its settings, on servers of the tests.

`python -m tests.infra.processes` starts all of them and lets them do a job.
"""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests import postgresql, rabbitmq, seaweed
from tests.clips import write_clip
from tests.e2e.commands import reelwork, running
from tests.infra import compose
from tests.weights import TEST_MODELS_DIR

TOKEN: Final = "token-of-the-test"
GIVEN: Final = compose.example() | {
    "POSTGRES_PASSWORD": "a",
    "RABBITMQ_PASSWORD": "b",
    "S3_SECRET_KEY": "c",
    "REELWORK_API_TOKEN": TOKEN,
}
FRAMES: Final = 40


def services() -> dict[str, Any]:
    """Those of ours, by name."""
    found = compose.resolved(GIVEN)["services"].items()
    return {name: service for name, service in found if service["image"].startswith("reelwork:")}


@contextlib.contextmanager
def places(folder: Path) -> Iterator[Mapping[str, str]]:
    """What stands for the addresses inside the network of the containers."""
    with postgresql.fresh_database(migrated=False) as database:
        yield {
            "REELWORK_DATABASE_URL": database,
            "REELWORK_BROKER_URL": rabbitmq.fresh_url(),
            "REELWORK_OBJECTS_URL": seaweed.fresh_url(),
            **seaweed.CREDENTIALS,
            "REELWORK_DATA_DIR": str(folder / "nobody-needs-this"),
            "REELWORK_MODELS_DIR": str(TEST_MODELS_DIR),
            "REELWORK_METRICS_PORT": "0",
        }


def do_a_job(folder: Path, names: Collection[str]) -> dict[str, Any]:
    """Migrates, starts the API and the named workers, and takes a video through them. What the job came to."""
    clip = write_clip(folder / "clip.mp4", frames=FRAMES, size=(96, 64), keyframe_interval=10, bframes=0)
    with places(folder) as own, contextlib.ExitStack() as started:
        environments = {name: compose.environment(service, GIVEN) | own for name, service in services().items()}
        migrated = reelwork(*services()["migrate"]["command"], "--json", environment=environments["migrate"])
        assert (migrated.status, migrated.document["schema_before"]) == (0, None), migrated
        processes = {}
        for name in ("api", *names):
            command = [*services()[name]["command"], *(["--port", "0"] if name == "api" else [])]
            processes[name] = started.enter_context(running(command, environment=environments[name]))
        assert all(processes[name].told["services"] == [name] for name in names)
        client = {"REELWORK_API_TOKEN": TOKEN, "REELWORK_API_URL": reached(processes["api"].told["url"])}
        job_id = reelwork("submit", clip, "--pipeline-id", "quality", "--json", environment=client).document["job_id"]
        done: dict[str, Any] = reelwork("wait", job_id, "--json", environment=client).document
        results = reelwork("results", job_id, "--json", environment=client).document["results"]
        for process in processes.values():
            process.process.send_signal(signal.SIGTERM)
        ended = {name: process.process.wait(60) for name, process in processes.items()}
    assert ended == dict.fromkeys(ended, 0)
    assert not (folder / "nobody-needs-this").exists()
    return {**done, "frames": len(results)}


def reached(url: str) -> str:
    """It listens everywhere."""
    return url.replace("0.0.0.0", "127.0.0.1")


def main() -> None:
    names = sorted(set(services()) - {"api", "migrate"})
    with tempfile.TemporaryDirectory() as folder:
        done = do_a_job(Path(folder), names)
    print(json.dumps({"workers": names, "status": done["status"], "frames": done["frames"]}))


if __name__ == "__main__":
    main()
