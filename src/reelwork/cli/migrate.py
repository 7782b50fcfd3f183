"""`reelwork migrate`: prepares database, queues and object store, for a deployment to do before anything starts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.settings import Config

LOOK_AGAIN_SECONDS: Final = 1.0

Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        min=0,
        metavar="SECONDS",
        help="How long servers that do not answer yet are waited for; default: REELWORK_START_SECONDS.",
        show_default=False,
    ),
]


def migrate(data: options.DataFolder = None, wait: Wait = None, as_json: options.Json = False) -> None:
    """Make or upgrade the database, declare the queues, and try the object store. It may be run again at any time.

    Every server and worker does the same when it starts, one at a time; this is for deployments that want it done
    first, and by a database user with more rights. Status 1: a server did not answer in time.
    """
    from reelwork.cli.configuration import load_config
    from reelwork.cli.output import tell, tell_json

    config = load_config(data=data)
    done = prepare(config, wait_seconds=config.REELWORK_START_SECONDS if wait is None else wait)
    if as_json:
        tell_json(done)
    elif done["schema_before"] == done["schema"]:
        tell(f"{done['database']} has the schema {done['schema']} already; queues and objects are ready.")
    else:
        found = "nothing" if done["schema_before"] is None else f"the schema {done['schema_before']}"
        tell(f"{done['database']} had {found} and has the schema {done['schema']} now; queues and objects are ready.")


def prepare(config: Config, *, wait_seconds: float) -> dict[str, Any]:
    """What was found and what was made. Raises ConfigurationError, or StoreUnavailable when the time is over."""
    from reelwork.errors import StoreUnavailable

    give_up_at = time.monotonic() + wait_seconds
    while True:
        try:
            return asyncio.run(_prepare(config))
        except StoreUnavailable:
            if time.monotonic() + LOOK_AGAIN_SECONDS > give_up_at:
                raise
            time.sleep(LOOK_AGAIN_SECONDS)


async def _prepare(config: Config) -> dict[str, Any]:
    from reelwork.database import is_dynamodb, open_database
    from reelwork.runtime.backends import open_backends

    if config.uses_data_dir:
        config.prepare_data_dir()
    if is_dynamodb(config.database_url):
        return await _prepare_tables(config)
    database = open_database(config.database_url)
    try:
        before = database.revision()
        backends = await open_backends(config)
        try:
            backends.objects.ping()
            return {
                "database": database.name,
                "schema_before": before,
                "schema": database.revision(),
                "broker": backends.broker.name,
                "queues": len({queue for _, queue in backends.catalogue.bindings()}),
            }
        finally:
            await backends.close()
    finally:
        database.close()


async def _prepare_tables(config: Config) -> dict[str, Any]:
    """Of DynamoDB: they are there, or are made where the URL allows it. They have no schema to be changed."""
    from reelwork.ledger.dynamodb.opening import tables_to_be_made
    from reelwork.ledger.dynamodb.tables import TABLES_REVISION
    from reelwork.runtime.backends import open_backends

    missing = await asyncio.to_thread(tables_to_be_made, config.database_url)
    backends = await open_backends(config)
    try:
        backends.objects.ping()
        return {
            "database": config.database_url,
            "schema_before": None if missing else TABLES_REVISION,
            "schema": TABLES_REVISION,
            "broker": backends.broker.name,
            "queues": len({queue for _, queue in backends.catalogue.bindings()}),
        }
    finally:
        await backends.close()
