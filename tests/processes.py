"""Real processes for tests that need them: each says it is ready, waits for the word, and prints one line of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TIMEOUT_SECONDS = 60
READY = "ready"


class Child:
    def __init__(self, module: str, arguments: Sequence[object]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go(self) -> None:
        self.tell("go")

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        """What it printed last; it must have ended well."""
        output, _ = self._process.communicate(timeout=TIMEOUT_SECONDS)
        assert self._process.returncode == 0
        return json.loads(output)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def ready_children(module: str, arguments: Sequence[Sequence[object]]) -> Iterator[list[Child]]:
    """One child for each list of arguments, all of them ready; none of them left at the end."""
    children = [Child(module, each) for each in arguments]
    try:
        for child in children:
            assert child.line() == READY
        yield children
    finally:
        for child in children:
            child.kill()


def await_the_word() -> None:
    """In the child: everything is imported and open; wait until all others are, too."""
    print(READY, flush=True)
    sys.stdin.readline()
