"""`reelwork import`: from one machine to many, with all that is there: a data folder into servers."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.cli.output import Report
    from reelwork.settings import Config

Source = Annotated[
    Path,
    typer.Argument(metavar="DIR", exists=True, file_okay=False, help="A data folder: reelwork.db and objects."),
]


def import_data(source: Source, as_json: options.Json = False) -> None:
    """Copy a data folder into the database and the object store of the settings. Everything must be stopped first.

    REELWORK_DATABASE_URL names an empty PostgreSQL; REELWORK_OBJECTS_URL another object store, or nothing where the
    objects stay; REELWORK_BROKER_URL the broker from now on. The rows come in one transaction, after the objects. Run
    again, it copies what is missing. The folder stays as it is; jobs that are not over go on in their new place.
    """
    from reelwork.cli.configuration import load_config
    from reelwork.cli.output import progress_bar, tell, tell_json

    config = load_config()
    with progress_bar("importing", lines_instead=True) as report:
        done = bring_over(source, config, report)
    if as_json:
        tell_json(done)
        return
    rows = done["rows"]
    tell(
        f"{done['database']}: "
        + ("the jobs are there already" if rows is None else f"{sum(rows.values())} rows of {rows['jobs']} jobs"),
        f"{done['objects']['copied']} objects copied, {done['objects']['already']} were there already.",
        f"Start nothing on {source} any more.",
    )


def bring_over(source: Path, config: Config, report: Report) -> dict[str, Any]:
    """What was copied. Raises ConfigurationError, or StoreUnavailable; then run it again."""
    from dataclasses import asdict

    from reelwork.broker import open_broker
    from reelwork.database import embedded_path, is_dynamodb
    from reelwork.database.sqlite import SqliteDatabase
    from reelwork.errors import ConfigurationError
    from reelwork.ledger import open_ledger
    from reelwork.ledger.sql import SqlLedger
    from reelwork.ledger.transfer import copy_ledger

    database = (source / "reelwork.db").absolute()
    if not database.exists():
        raise ConfigurationError(f"there is no reelwork.db in {source}")
    if embedded_path(config.database_url) is not None:
        raise ConfigurationError("set REELWORK_DATABASE_URL to the PostgreSQL that the data are to be in")
    if is_dynamodb(config.database_url):
        raise ConfigurationError(
            "a ledger on DynamoDB takes no rows of another: let the jobs of the folder end, and submit new ones there"
        )
    with contextlib.ExitStack() as opened:
        old = opened.enter_context(contextlib.closing(open_ledger(f"sqlite:///{database}")))
        assert isinstance(old, SqlLedger)
        assert isinstance(old.database, SqliteDatabase)
        opened.enter_context(old.database.only_user())
        new = opened.enter_context(contextlib.closing(open_ledger(config.database_url)))
        assert isinstance(new, SqlLedger)
        objects = _copy_objects(source, config, report)
        rows = copy_ledger(
            old.database,
            new.database,
            has_queues=open_broker(config.broker_url) is None,
            on_progress=lambda table, copied, size: report(f"rows of {table}", copied / max(size, 1)),
        )
        return {"database": new.database.name, "rows": rows, "objects": asdict(objects)}


def _copy_objects(source: Path, config: Config, report: Report) -> Any:
    from reelwork.errors import ConfigurationError
    from reelwork.objects import open_objects
    from reelwork.objects.transfer import CopiedObjects, copy_objects

    own = f"file://{(source / 'objects').absolute()}"
    if config.REELWORK_OBJECTS_URL is None:
        raise ConfigurationError(f"set REELWORK_OBJECTS_URL: where the objects are to be, or {own} where they stay")
    if config.objects_url == own or not (source / "objects").exists():
        return CopiedObjects()
    target = open_objects(config.objects_url)

    def on_progress(done: CopiedObjects) -> None:
        report(f"{done.copied + done.already} objects, {done.size_bytes / 1e6:.0f} MB", None)

    return copy_objects(open_objects(own), target, on_progress=on_progress)
