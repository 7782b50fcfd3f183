"""Model runtimes greet on standard error, in the middle of a progress bar; their errors must come through."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

CHATTER = b"INFO:"


@contextmanager
def native_chatter_removed() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, then passes on every line that is more than information."""
    try:
        standard_error = os.dup(2)
    except OSError:  # a process without standard error has nothing to keep tidy
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            held.seek(0)
            for line in held:
                if not line.startswith(CHATTER):
                    os.write(2, line)
