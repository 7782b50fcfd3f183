"""AWS on a free port of 127.0.0.1, from the `moto` wheel: SQS, DynamoDB, S3 with its notifications, CloudFormation.

All of it is in memory, and it takes any credentials.

A process of its own is the server, and ends when the process that asked for it is gone, however it went.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import time
from functools import cache
from itertools import count
from typing import Final

from tests.atomic_dynamodb import empty_tables, make_transactions_atomic, one_at_a_time
from tests.clock import ManualClock
from tests.kept_server import KeptServer, demand
from tests.moto_gaps import fill_gaps

REGION: Final = "us-east-1"
SWITCH_SECONDS: Final = 0.5
"""Its handlers take no locks, and are let come to their end before another runs."""
ACCOUNT: Final = "123456789012"
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-s3cret"}


class MotoServer(KeptServer):
    """Its clock runs, but for SQS it can be made to stand."""

    def __init__(self) -> None:
        super().__init__("moto", "tests.moto")
        self._names = count()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {**CREDENTIALS, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": self.url}

    def new_name(self) -> str:
        """One that nobody else uses, good for a bucket, a table or the beginning of a queue's name."""
        return f"test{next(self._names)}"

    def follow(self, clock: ManualClock) -> None:
        """Until `run`, queues go by this clock."""
        stands_at = clock.now_ms
        clock.on_move = lambda now_ms: self._order(f"stand {now_ms - stands_at}")
        self._order("stand 0")

    def run(self) -> None:
        self._order("run")

    def empty(self, *tables: str) -> None:
        """Far quicker than others would be made."""
        self._order(f"empty {' '.join(tables)}")


@cache
def shared_server() -> MotoServer:
    """The one of this test run."""
    missing = [] if importlib.util.find_spec("moto") and importlib.util.find_spec("flask") else ["moto (make setup)"]
    demand(missing)
    return MotoServer()


def fresh_url(clock: ManualClock | None = None) -> str:
    """Of queues that nobody else uses, and that are made when they are needed. clock: that they go by; or the
    machine's own. A request waits no longer than a second there, for it goes on when whoever asked has gone.
    """
    server = shared_server()
    if clock is None:
        server.run()
    else:
        server.follow(clock)
    return f"sqs://{server.new_name()}?region={REGION}&endpoint={server.url}&create=yes&poll=1"


class _Clock:
    """Of SQS, in ms: the machine's own, or one that stands at a moment so long after the first that it stood at."""

    def __init__(self) -> None:
        self._stands_at: float | None = None
        self._after_ms = 0.0

    def __call__(self) -> float:
        return time.time() * 1000 if self._stands_at is None else self._stands_at + self._after_ms

    def obey(self, command: str) -> None:
        if command == "run":
            self._stands_at = None
            return
        after_ms = float(command.removeprefix("stand "))
        if self._stands_at is None or not after_ms:
            self._stands_at = time.time() * 1000
        self._after_ms = after_ms


def main() -> None:
    import moto.sqs.models
    from moto.moto_server import threaded_moto_server
    from moto.server import DomainDispatcherApplication, ThreadedMotoServer

    sys.setswitchinterval(SWITCH_SECONDS)
    threaded_moto_server.DomainDispatcherApplication = lambda *args: one_at_a_time(DomainDispatcherApplication(*args))
    threaded_moto_server.MotoRequestHandler.protocol_version = "HTTP/1.1"  # connections are kept
    make_transactions_atomic()
    fill_gaps()
    clock = _Clock()
    moto.sqs.models.unix_time_millis = lambda *_: clock()
    moto.sqs.models.Message.visible = property(lambda message: clock() >= message.visible_at)  # on the millisecond
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    print(json.dumps(["", port, os.getpid()]), flush=True)
    for line in sys.stdin:
        if line.strip():
            command, *tables = line.split()
            if command == "empty":
                empty_tables(tables)
            else:
                clock.obey(line.strip())
            print(json.dumps(["", port, os.getpid()]), flush=True)


if __name__ == "__main__":
    main()
