"""Objects in a bucket of S3, or of a server that speaks it, by way of obstore.

Servers differ in what they make of a condition on a write, and some pass over it in silence: it is tried before it is
relied on. Every wait has a limit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from reelwork.errors import ConfigurationError, ObjectNotFound, StoreUnavailable
from reelwork.objects.address import CREDENTIALS, S3Address
from reelwork.objects.engine import Engine
from reelwork.objects.failures import StoreRefuses, reason, translated

CONNECT_SECONDS_MAX: Final = 5
SILENT_SECONDS_MAX: Final = 30
"""Without a byte from the server."""

REQUEST_SECONDS_MAX: Final = 120
RETRIES_MAX: Final = 100
RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 2.0
PING_SECONDS_MAX: Final = 3
DELETES_AT_A_TIME: Final = 1_000

RIGHTS: Final = "they need s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"
READ_RIGHTS: Final = "they need s3:ListBucket and s3:GetObject"
PROBE_PREFIX: Final = "probe/"
COPIES_OF_NEW: Final = ("header: if-none-match: *", "multipart", "header: cf-copy-destination-if-none-match: *")
"""How servers are asked to copy to a key only if it has no object: Amazon's way since 2025, its older one, R2's."""


class S3(Engine):
    """patience_seconds: how long each request is tried again while the server is away or answers with 5xx."""

    is_remote = True

    def __init__(self, address: S3Address, *, patience_seconds: float) -> None:
        self._address = address
        self._patience = timedelta(seconds=patience_seconds)
        self.shown = address.shown
        super().__init__(self._open(self._patience))
        self._pinger = self._open(timedelta(), seconds_max=PING_SECONDS_MAX)
        public = address.public_endpoint
        self._signer = self._open(self._patience, endpoint=public) if public else self.client
        self._copier: S3Store | None = None
        self._verifying = threading.Lock()

    def ping(self) -> None:
        with suppress(ObjectNotFound), translated(f"{PROBE_PREFIX}ping"):
            obstore.get(self._pinger, f"{PROBE_PREFIX}ping").bytes()

    def bucket_of(self, _key: str) -> str:
        return self._address.bucket

    def look(self) -> None:
        """Raises ConfigurationError where we may not even read, StoreUnavailable where nobody answers."""
        with self._told(READ_RIGHTS), suppress(ObjectNotFound), translated(f"{PROBE_PREFIX}look"):
            obstore.get(self.client, f"{PROBE_PREFIX}look").bytes()

    def verify(self) -> None:
        """Once is enough: a server does not forget."""
        with self._verifying:
            if self._copier is None:
                self._copier = self._verified()

    def copy_new(self, source: str, key: str) -> None:
        self.verify()
        assert self._copier is not None
        obstore.copy(self._copier, source, key, overwrite=False)

    def delete(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), DELETES_AT_A_TIME):
            obstore.delete(self.client, keys[first : first + DELETES_AT_A_TIME])

    def link(self, key: str, seconds: int) -> str:
        with translated(key):
            return obstore.sign(self._signer, "GET", key, timedelta(seconds=seconds))

    def _open(
        self,
        patience: timedelta,
        *,
        endpoint: str | None = None,
        seconds_max: float = REQUEST_SECONDS_MAX,
        copy_if_not_exists: str | None = None,
    ) -> S3Store:
        address = self._address
        endpoint = endpoint or address.endpoint
        settings: dict[str, Any] = address.client_settings(endpoint)
        if copy_if_not_exists is not None:
            settings["copy_if_not_exists"] = copy_if_not_exists
        try:
            return S3Store(
                address.bucket,
                prefix=address.prefix or None,
                conditional_put="etag",
                client_options={
                    "allow_http": endpoint is not None and endpoint.startswith("http://"),
                    "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS_MAX, seconds_max)),
                    "read_timeout": timedelta(seconds=min(SILENT_SECONDS_MAX, seconds_max)),
                    "timeout": timedelta(seconds=seconds_max),
                },
                retry_config={
                    "max_retries": RETRIES_MAX if patience else 0,
                    "retry_timeout": patience,
                    "backoff": {
                        "init_backoff": timedelta(seconds=RETRY_SECONDS_MIN),
                        "max_backoff": timedelta(seconds=RETRY_SECONDS_MAX),
                        "base": 2,
                    },
                },
                **settings,
            )
        except (BaseError, ValueError) as error:
            raise ConfigurationError(f"cannot use the object store {self.shown}: {reason(error)}") from None

    def _verified(self) -> S3Store:
        """A client that copies to new keys only. Leaves nothing behind unless it is killed."""
        probe = f"{PROBE_PREFIX}{uuid4().hex}"
        keys = [f"{probe}/{number}" for number in range(1 + len(COPIES_OF_NEW))]
        with self._told(RIGHTS):
            with suppress(ObjectNotFound), translated(keys[0]):
                obstore.get(self.client, keys[0]).bytes()
            with translated(keys[0]):
                obstore.put(self.client, keys[0], b"first", mode="create")
            self._demand_refusal(keys[0])
            ways = zip(COPIES_OF_NEW, keys[1:], strict=True)
            found = next(filter(None, (self._copying(way, keys[0], key) for way, key in ways)), None)
            with translated(keys[0]):
                obstore.head(self.client, keys[0])  # it is not that the server has gone away meanwhile
                self.delete(keys)
        if found is None:
            raise ConfigurationError(
                f"{self.shown} does not copy to a key only if it has no object (If-None-Match on CopyObject or "
                "CompleteMultipartUpload), which the results of a job stand on; use a server or version that does"
            )
        return found

    @contextmanager
    def _told(self, rights: str) -> Iterator[None]:
        """Raises ConfigurationError, which says what rights are needed, where the server does not let us."""
        try:
            yield
        except StoreRefuses as error:
            raise ConfigurationError(f"{self.shown} does not let us in: {error}. {CREDENTIALS}; {rights}") from None

    def _demand_refusal(self, key: str) -> None:
        try:
            obstore.put(self.client, key, b"second", mode="create")
        except AlreadyExistsError:
            return
        except BaseError as error:
            raise StoreUnavailable(f"the object store fails with {key}: {reason(error)}") from None
        raise ConfigurationError(
            f"{self.shown} replaces an object that it is told not to replace (If-None-Match on PutObject); "
            "use a server or version that does not"
        )

    def _copying(self, way: str, source: str, key: str) -> S3Store | None:
        """A client that asks in this way, if the server heeds it."""
        client = self._open(self._patience, copy_if_not_exists=way)
        try:
            obstore.copy(client, source, key, overwrite=False)
            obstore.copy(client, source, key, overwrite=False)
        except AlreadyExistsError:
            with suppress(FileNotFoundError):
                return client if obstore.head(client, key)["size"] else None
        except (BaseError, FileNotFoundError):
            return None
        return None
