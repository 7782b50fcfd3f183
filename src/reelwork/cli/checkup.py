"""What `reelwork doctor` looks at. Each look gives one finding, never an exception; none of them leaves a trace."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from reelwork.cli.missing_package import EXTRAS, missing_package_fix
from reelwork.errors import ReelworkError
from reelwork.settings import Config

if TYPE_CHECKING:
    from reelwork.broker import Topology

PYTHON_MINIMUM: Final = (3, 11)
FREE_BYTES_MINIMUM: Final = 1024**3
FOLDER_FIX: Final = "choose another folder with --data or REELWORK_DATA_DIR"
DYNAMODB_FIX: Final = "set REELWORK_DATABASE_URL, the credentials of AWS and the tables right: docs/dynamodb.md"
SERVER_FIX: Final = "start the server, or set REELWORK_DATABASE_URL right"
OBJECTS_FIX: Final = "start the server, or set REELWORK_OBJECTS_URL and the credentials right"
BROKER_FIX: Final = "start the server, or set REELWORK_BROKER_URL right"


class Health(StrEnum):
    """ABSENT is fine for who does not need it; NOTED is worth knowing, and stops nothing."""

    FINE = "fine"
    ABSENT = "absent"
    NOTED = "noted"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    health: Health
    found: str
    fix: str | None = None


def examine(config: Config) -> Sequence[Finding]:
    """All findings about this machine, the most fundamental first."""
    return [
        _python(),
        _data_folder(config),
        _database(config),
        _broker(config),
        _objects(config),
        _free_disk(config),
        *(_extra(name, packages) for name, packages in EXTRAS.items()),
        _ffmpeg(),
        *_analyzers(),
        *_models(),
    ]


def _python() -> Finding:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info >= PYTHON_MINIMUM:
        return Finding("Python", Health.FINE, found)
    return Finding("Python", Health.BROKEN, found, "install Python 3.11 or newer")


def _data_folder(config: Config) -> Finding:
    folder = config.REELWORK_DATA_DIR.absolute()
    if folder.exists():
        return _tried("data folder", config.prepare_data_dir, f"{folder} can be written")
    home = next(parent for parent in folder.parents if parent.exists())
    return _tried("data folder", lambda: _write_below(home), f"{folder} can be made")


def _write_below(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".reelwork-"):
        pass


def _database(config: Config) -> Finding:
    """An embedded database that is not there yet is tried in a throw-away folder."""
    from reelwork.database import embedded_path, is_dynamodb, shown_url

    def opens(url: str) -> None:
        from reelwork.ledger import open_ledger

        if is_dynamodb(url):
            from reelwork.ledger.dynamodb.opening import tables_to_be_made

            if tables_to_be_made(url):
                return  # they are made when something is to be written into them
        ledger = open_ledger(url)
        ledger.ping()
        ledger.close()

    url = config.database_url
    try:
        path, shown = embedded_path(url), shown_url(url)
    except ReelworkError as error:
        return Finding("database", Health.BROKEN, str(error), "set REELWORK_DATABASE_URL right, or unset it")
    if path is None:
        fix = DYNAMODB_FIX if is_dynamodb(url) else SERVER_FIX
        return _tried("database", lambda: opens(url), f"{shown} answers", fix)
    if path.exists():
        return _tried("database", lambda: opens(url), f"{shown} answers")
    with tempfile.TemporaryDirectory(prefix="reelwork-") as scratch:
        found = "there is none yet; a new one can be made"
        return _tried("database", lambda: opens(f"sqlite:///{scratch}/reelwork.db"), found)


def _broker(config: Config) -> Finding:
    import asyncio

    from reelwork.broker import Broker, Topology, open_broker
    from reelwork.database import is_dynamodb

    async def answers(broker: Broker) -> None:
        try:
            broker.check_handling(config.REELWORK_HANDLER_TIMEOUT_SECONDS)
            await broker.declare(Topology({}))
            await broker.check_queues(_topology(config))
        finally:
            await broker.close()

    try:
        broker = open_broker(
            config.broker_url,
            region=config.AWS_REGION,
            endpoint=config.AWS_ENDPOINT_URL,
            queue_urls=config.queue_urls,
        )
    except ReelworkError as error:
        return Finding("broker", Health.BROKEN, str(error), "set REELWORK_BROKER_URL right, or unset it")
    if broker is None and is_dynamodb(config.database_url):
        found = "the queues cannot be in DynamoDB"
        return Finding("broker", Health.BROKEN, found, "set REELWORK_BROKER_URL to sqs://, redis:// or amqp://")
    if broker is None:
        return Finding("broker", Health.FINE, "the queues are in the database")
    return _tried("broker", lambda: asyncio.run(answers(broker)), f"{broker.name} answers", BROKER_FIX)


def _topology(config: Config) -> Topology:
    """Of the pipelines that run here; none where they cannot be loaded, which is told of elsewhere."""
    from reelwork.broker import Topology
    from reelwork.runtime.registry import load_catalogue

    try:
        return Topology.of(load_catalogue(config.pipelines).bindings())
    except (ImportError, ReelworkError):
        return Topology({})


def _objects(config: Config) -> Finding:
    """A store that cannot keep what it promises is found out here, by what it makes of a few small objects."""
    from reelwork.objects import open_objects

    url = config.REELWORK_OBJECTS_URL
    if url is None:
        return Finding("object store", Health.FINE, "the objects are in the data folder")
    folder = Path(unquote(urlsplit(url).path))
    if urlsplit(url).scheme == "file" and not folder.exists():
        home = next(parent for parent in folder.absolute().parents if parent.exists())
        return _tried("object store", lambda: _write_below(home), f"{folder} can be made")
    try:
        objects = open_objects(url)
    except ReelworkError as error:
        return Finding("object store", Health.BROKEN, str(error), "set REELWORK_OBJECTS_URL right, or unset it")

    def answers() -> None:
        objects.ping()
        objects.verify()

    return _tried("object store", answers, f"{objects.shown} answers", OBJECTS_FIX)


def _free_disk(config: Config) -> Finding:
    from rich.filesize import decimal

    folder = config.REELWORK_DATA_DIR.absolute()
    home = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(home).free
    if free >= FREE_BYTES_MINIMUM:
        return Finding("free disk", Health.FINE, f"{decimal(free)} below {home}")
    fix = "make room, or choose another folder with --data or REELWORK_DATA_DIR"
    return Finding("free disk", Health.BROKEN, f"only {decimal(free)} below {home}", fix)


def _extra(name: str, packages: Sequence[str]) -> Finding:
    absent = [package for package in packages if find_spec(package) is None]
    if not absent:
        return Finding(f"extra [{name}]", Health.FINE, ", ".join(packages))
    fix = f"pip install 'reelwork[{name}]'"
    return Finding(f"extra [{name}]", Health.ABSENT, f"not installed: {', '.join(absent)}", fix)


def _ffmpeg() -> Finding:
    if find_spec("av") is None:
        return Finding("FFmpeg", Health.ABSENT, "comes with PyAV", "pip install 'reelwork[analyze]'")
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        return Finding("FFmpeg", Health.BROKEN, str(error), "pip install --force-reinstall av")
    return Finding("FFmpeg", Health.FINE, f"{av.ffmpeg_version_info}, inside PyAV {av.__version__}")


def _analyzers() -> list[Finding]:
    """Those that cannot be loaded; a model that is missing is told of below."""
    if find_spec("av") is None:
        return []
    from reelwork.errors import ModelMissing
    from reelwork.pipelines.analyze.analyzers import known_analyzers, load_analyzers

    findings = []
    for name in known_analyzers():
        try:
            load_analyzers(name)
        except ModelMissing:
            continue
        except ReelworkError as error:
            findings.append(Finding(f"analyzer {name}", Health.ABSENT, str(error)))
    return findings


def _models() -> list[Finding]:
    from reelwork.vision import Presence, models_status, pull_command

    health = {Presence.READY: Health.FINE, Presence.MISSING: Health.ABSENT, Presence.CORRUPT: Health.BROKEN}
    return [
        Finding(
            f"model {status.model.name}",
            health[status.presence],
            str(status.path or status.presence),
            None if status.presence is Presence.READY else pull_command(status.model.name),
        )
        for status in models_status()
    ]


def _tried(subject: str, attempt: Callable[[], None], found: str, fix: str = FOLDER_FIX) -> Finding:
    try:
        attempt()
    except ModuleNotFoundError as error:
        return Finding(subject, Health.BROKEN, str(error), missing_package_fix(error))
    except (ReelworkError, OSError) as error:
        return Finding(subject, Health.BROKEN, str(error), fix)
    return Finding(subject, Health.FINE, found)
