"""One worker process, as the supervisor starts it: `python -m reelwork.runtime.process NAME [SERVICE ...]`.

It drains on SIGTERM and when its parent is gone, and leaves with REPLACE_ME when a handler hangs in one of its threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.runtime.backends import open_backends
from reelwork.runtime.crew import WorkerState
from reelwork.runtime.declaration import Catalogue, Subscription
from reelwork.runtime.log import configure_log
from reelwork.runtime.reports import Reporter
from reelwork.runtime.worker import Worker
from reelwork.settings import Config

BROKEN: Final = 1
UNAVAILABLE: Final = 69
REPLACE_ME: Final = 75
OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000
SWITCH_SECONDS: Final = 0.001
CONFIGURATION: Final = 78


def subscriptions_of(catalogue: Catalogue, services: Sequence[str]) -> list[Subscription]:
    """The subscriptions of the named services; of all where none is named."""
    return [s for s in catalogue.subscriptions if not services or s.service in services]


async def run_worker(name: str, services: Sequence[str]) -> int:
    """Works until it is told to stop; the exit status of the process."""
    config = Config()
    backends = await open_backends(config, lease_owner=name, is_patient=True)
    subscriptions = subscriptions_of(backends.catalogue, services)
    threads = ThreadPoolExecutor(sum(s.prefetch for s in subscriptions) or 1, thread_name_prefix="reelwork-handler")
    worker = Worker(
        subscriptions,
        broker=backends.broker,
        handling=backends.handling(threads),
        world=backends.world,
        drain_seconds=config.REELWORK_DRAIN_SECONDS,
    )
    loop = asyncio.get_running_loop()
    reporter, stopping = Reporter(), asyncio.Event()

    def stop() -> None:
        stopping.set()
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _when_parent_is_gone(lambda: loop.call_soon_threadsafe(stop))
    _settle_in()
    reporting = asyncio.create_task(reporter.run(stopping))
    await worker.run()
    stopping.set()
    await reporting
    await reporter.send(WorkerState.DRAINING)
    await backends.close()
    return REPLACE_ME if worker.must_be_replaced else 0


def _settle_in() -> None:
    """What is loaded by now stays, so the collector need not look at it again, and a group of deliveries is no garbage.

    Its threads take turns more often than by default, so that a message is not kept waiting by a commit.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    sys.setswitchinterval(SWITCH_SECONDS)


def _when_parent_is_gone(act: Callable[[], object]) -> None:
    """The parent holds the other end of standard input and never writes to it; it ends with the parent, however that
    ends. It may be a socket that does not block, because reports go the other way.
    """

    def watch() -> None:
        with contextlib.suppress(OSError):  # a parent that died before it read all reports resets the line
            while select.select([0], [], []) and os.read(0, 1):
                pass
        act()

    threading.Thread(target=watch, name="reelwork-parent-watch", daemon=True).start()


def main() -> None:
    name, *services = sys.argv[1:]
    config = Config()
    configure_log(config.REELWORK_LOG_LEVEL, config.REELWORK_LOG_FORMAT, worker=name)
    try:
        status = asyncio.run(run_worker(name, services))
    except ConfigurationError as error:
        print(f"reelwork worker: {error}", file=sys.stderr)
        status = CONFIGURATION
    except StoreUnavailable as error:  # a database that is just being restarted; the next start may find it
        print(f"reelwork worker: {error}", file=sys.stderr)
        status = UNAVAILABLE
    except Exception:
        traceback.print_exc()
        status = BROKEN
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a stuck handler thread must not keep the process


if __name__ == "__main__":
    main()
