"""`reelwork worker`: worker processes alone, beside a server or other workers on the same data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.settings import Config

OnStarted = Callable[[list[str]], None]
Services = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Services to run; all by default.")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Worker processes; as many as CPUs by default.")
]


def worker(
    services: Services = None,
    data: options.DataFolder = None,
    concurrency: Concurrency = None,
    as_json: options.Json = False,
) -> None:
    """Run worker processes alone. Ctrl-C or SIGTERM drains them.

    Prints one line when they are starting; with --json that line is a JSON document.
    """
    from reelwork.cli.configuration import default_workers, load_config
    from reelwork.cli.output import tell, tell_json_line
    from reelwork.runtime.log import configure_log

    config = load_config(data=data)
    configure_log(config.REELWORK_LOG_LEVEL)
    count = concurrency or default_workers()
    folder = str(config.REELWORK_DATA_DIR.absolute())

    def on_started(names: list[str]) -> None:
        if as_json:
            tell_json_line({"data": folder, "workers": count, "services": names})
        else:
            tell(f"Reelwork works on {folder} (worker processes: {count}; services: {', '.join(names)}). Ctrl-C stops.")

    asyncio.run(run_workers(config, services or [], count=count, on_started=on_started))


async def run_workers(config: Config, services: list[str], *, count: int, on_started: OnStarted) -> None:
    """Works until SIGTERM or SIGINT, then drains. Raises ConfigurationError for an unknown service."""
    from reelwork.cli.stop_signal import stop_on_signal
    from reelwork.runtime.backends import open_backends
    from reelwork.runtime.node import run_node
    from reelwork.runtime.supervisor import check_services

    with stop_on_signal() as stop:
        backends = await open_backends(config)
        try:
            check_services(backends.catalogue, services)
            on_started(services or backends.catalogue.services())
            await run_node(backends, stop, workers=count, services=services)
        finally:
            await backends.close()
