"""Finds products in videos to the end in this process and its workers, without a server."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from reelwork.cli.embedded import FinishedJob, run_embedded, save_object
from reelwork.cli.output_file import make_folder
from reelwork.cli.phase_bars import Show
from reelwork.ledger import Job
from reelwork.objects.keys import artifacts_prefix
from reelwork.runtime.backends import Backends
from reelwork.runtime.jobs import Jobs
from reelwork.settings import Config

PIPELINE: Final = "match"
NAME_FOLDERS: Final = "REELWORK_JOBS_NAME_FOLDERS"
WEB: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedMatch(FinishedJob):
    """results: as in matches.json. notes: what could not be used, and why; a sentence each."""

    results: list[dict[str, Any]]
    notes: list[str]


def match_embedded(
    config: Config,
    products: Sequence[str],
    videos: Sequence[str],
    *,
    masks: str | None,
    out: Path,
    workers: int,
    show: Show,
) -> FinishedMatch:
    """Leaves matches.json, notes.json, report.html and the pictures in a folder. Raises what `run_embedded` does."""
    chosen = {} if masks is None else {"masks": masks}
    parameters: dict[str, Any] = {"products": _whole(products), "videos": _whole(videos), **chosen}
    paths = [path for path in (*parameters["products"], *parameters["videos"]) if not path.startswith(WEB)]
    parameters["own_folders"] = _own_folders(paths)

    async def submit(_backends: Backends, jobs: Jobs) -> str:
        checked = jobs.check(PIPELINE, parameters).model_dump(mode="json")
        return jobs.create(PIPELINE, job_id=uuid4(), input_path="", parameters=checked)

    def watch(jobs: Jobs, job: Job) -> None:
        show(jobs.phase_fractions(job))

    def save(backends: Backends, job: Job) -> None:
        prefix = artifacts_prefix(job.job_id)
        for picture in out.glob("evidence/[0-9][0-9][0-9][0-9][0-9].jpg"):  # of a job before this one
            picture.unlink()
        for key in backends.objects.keys(prefix):
            path = out / key.removeprefix(prefix)
            if not path.parent.is_dir():
                make_folder(path.parent, option="--out")
            save_object(backends.objects, key, path)

    with _trusted():
        trusting = config.model_copy(update={NAME_FOLDERS: True})
        finished = run_embedded(trusting, submit, workers=workers, watch=watch, save=save)
    results = json.loads((out / "matches.json").read_text("utf-8"))
    notes = json.loads((out / "notes.json").read_text("utf-8"))
    return FinishedMatch(detail=finished.detail, completions=finished.completions, results=results, notes=notes)


def _whole(sources: Sequence[str]) -> list[str]:
    """Workers may stand in another folder."""
    return [source if source.startswith(WEB) else str(Path(source).absolute()) for source in sources]


def _own_folders(paths: Sequence[str]) -> list[str]:
    """Whoever gives a path here may read it, and so may his job: of a file, what lies beside it."""
    return [path if Path(path).is_dir() else str(Path(path).parent) for path in paths]


@contextlib.contextmanager
def _trusted() -> Iterator[None]:
    """The workers of this run believe what jobs call their own: their data folder is in the same hands."""
    before = os.environ.get(NAME_FOLDERS)
    os.environ[NAME_FOLDERS] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NAME_FOLDERS]
        else:
            os.environ[NAME_FOLDERS] = before
