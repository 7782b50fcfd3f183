"""`reelwork serve`: everything on one machine: API, relay, sweeper and worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.settings import Config

Host = Annotated[str, typer.Option(help="Address to listen on; beyond loopback only with REELWORK_API_TOKEN.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")]
OnListening = Callable[[str], None]


def serve(
    data: options.DataFolder = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: options.ServerWorkers = None,
    as_json: options.Json = False,
) -> None:
    """Run the server: HTTP API and worker processes. Ctrl-C or SIGTERM drains it.

    Prints one line with its URL when it listens; with --json that line is a JSON document.
    """
    from reelwork.cli.configuration import default_workers, load_config
    from reelwork.cli.output import tell, tell_json_line
    from reelwork.runtime.log import configure_log

    config = load_config(data=data)
    configure_log(config.REELWORK_LOG_LEVEL, config.REELWORK_LOG_FORMAT)
    count = default_workers() if workers is None else workers

    def on_listening(url: str) -> None:
        if as_json:
            tell_json_line({"url": url, "data": str(config.REELWORK_DATA_DIR.absolute()), "workers": count})
        else:
            tell(f"Reelwork listens on {url} (worker processes: {count}). Ctrl-C stops it.")

    asyncio.run(run_server(config, host=host, port=port, workers=count, on_listening=on_listening))


async def run_server(config: Config, *, host: str, port: int, workers: int, on_listening: OnListening) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises ConfigurationError for an address that cannot be had."""
    from reelwork.api.app import create_app
    from reelwork.api.security import check_binding
    from reelwork.cli.http_server import HttpServer
    from reelwork.cli.listening import listening_socket, url_of
    from reelwork.cli.stop_signal import stop_on_signal
    from reelwork.runtime.node import run_node
    from reelwork.runtime.start import open_when_up
    from reelwork.runtime.together import run_together

    check_binding(host, config)
    with stop_on_signal() as stop, listening_socket(host, port) as listener:
        url = url_of(listener)
        backends = await open_when_up(config, stop)
        if backends is None:
            return
        try:
            server = HttpServer(create_app(backends), stop=stop, on_listening=lambda: on_listening(url))
            await run_together(stop, run_node(backends, stop, workers=workers), server.serve([listener]))
        finally:
            await backends.close()
