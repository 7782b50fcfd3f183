"""`reelwork worker`: worker processes alone, beside a server or other workers, here or on another machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.settings import Config

PORT_FIX: Final = "Choose another with --metrics-host and --metrics-port; --metrics-port 0 takes any free port."
OnStarted = Callable[[list[str], str | None], None]
Services = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Services to run; all by default.")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Worker processes; as many as CPUs by default.")
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        help="Port of /healthz, /readyz and /metrics; 0 for any free one. Default: REELWORK_METRICS_PORT, or none.",
        show_default=False,
    ),
]
MetricsHost = Annotated[
    str | None,
    typer.Option(metavar="HOST", help="Its address; default: REELWORK_METRICS_HOST, or 127.0.0.1.", show_default=False),
]


def worker(
    services: Services = None,
    data: options.DataFolder = None,
    concurrency: Concurrency = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
    as_json: options.Json = False,
) -> None:
    """Run worker processes alone, on this machine or any other. Ctrl-C or SIGTERM drains them.

    On another machine than the server's a worker needs three addresses and no folder: REELWORK_DATABASE_URL,
    REELWORK_BROKER_URL and REELWORK_OBJECTS_URL, as the server has them. It waits REELWORK_START_SECONDS for those that
    are not up yet. SIGTERM: running handlers get REELWORK_DRAIN_SECONDS, the rest goes back at once, exit status 0.

    Prints one line when they are starting; with --json that line is a JSON document.
    """
    from reelwork.cli.configuration import default_workers, load_config
    from reelwork.cli.output import tell, tell_json_line
    from reelwork.runtime.log import configure_log

    asked = {"REELWORK_METRICS_PORT": metrics_port, "REELWORK_METRICS_HOST": metrics_host}
    config = load_config(data=data, **{name: value for name, value in asked.items() if value is not None})
    configure_log(config.REELWORK_LOG_LEVEL, config.REELWORK_LOG_FORMAT)
    count = concurrency or default_workers()
    stands_on = _stands_on(config)

    def on_started(names: list[str], url: str | None) -> None:
        if as_json:
            tell_json_line({**stands_on, "workers": count, "services": names, "metrics": url})
        else:
            (where,) = stands_on.values()
            what = f"worker processes: {count}; services: {', '.join(names)}"
            port = f" Health and metrics: {url}." if url else ""
            tell(f"Reelwork works on {where} ({what}).{port} Ctrl-C stops.")

    asyncio.run(run_workers(config, services or [], count=count, on_started=on_started))


def _stands_on(config: Config) -> dict[str, str]:
    """The data folder, where it is used; else the database."""
    from reelwork.database import shown_url

    if config.uses_data_dir:
        return {"data": str(config.REELWORK_DATA_DIR.absolute())}
    return {"database": shown_url(config.database_url)}


async def run_workers(config: Config, services: list[str], *, count: int, on_started: OnStarted) -> None:
    """Works until SIGTERM or SIGINT, then drains.

    Raises ConfigurationError for an unknown service, StoreUnavailable for a back end that did not come up in time.
    """
    from reelwork.cli.listening import listening_socket, url_of
    from reelwork.cli.stop_signal import stop_on_signal
    from reelwork.runtime.metrics.port import WorkerPort
    from reelwork.runtime.node import run_node
    from reelwork.runtime.start import open_when_up
    from reelwork.runtime.supervisor import check_services

    async with contextlib.AsyncExitStack() as opened:
        stop = opened.enter_context(stop_on_signal())
        port, url = WorkerPort(), None
        if config.REELWORK_METRICS_PORT is not None:
            host, number = config.REELWORK_METRICS_HOST, config.REELWORK_METRICS_PORT
            listener = opened.enter_context(listening_socket(host, number, fix=PORT_FIX))
            await opened.enter_async_context(port.serving(listener))
            url = url_of(listener)
        backends = await open_when_up(config, stop)
        if backends is None:
            return
        opened.push_async_callback(backends.close)
        check_services(backends.catalogue, services)
        port.backends = backends
        on_started(services or backends.catalogue.services(), url)
        await run_node(backends, stop, workers=count, services=services)
