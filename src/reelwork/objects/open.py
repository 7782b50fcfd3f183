"""Which object store a URL means."""

from __future__ import annotations

from typing import Final

from obstore.store import MemoryStore

from reelwork.errors import ConfigurationError
from reelwork.objects.address import S3Address
from reelwork.objects.engine import Engine
from reelwork.objects.folder import Folder
from reelwork.objects.s3 import S3
from reelwork.objects.store import ObjectStore
from reelwork.objects.two_buckets import TwoBuckets

PATIENCE_SECONDS: Final = 5.0
SUPPORTED: Final = "use file:///absolute/folder, s3://bucket/prefix or memory://"


def open_objects(url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> ObjectStore:
    """The store at `file:///folder`, `s3://bucket/prefix?endpoint=...&region=...` or `memory://`; at
    `s3://bucket?input_bucket=...` sources and segments lie in a bucket of their own.

    patience_seconds: how long a request waits for a server that is away before it raises StoreUnavailable. Raises
    ConfigurationError for any other URL or an unusable folder; it does not speak to a server yet.
    """
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme == "memory":
        return ObjectStore(Engine(MemoryStore()))
    if scheme == "file":
        return ObjectStore(Folder(url))
    if scheme == "s3":
        address = S3Address.of(url)
        kind = S3 if address.input_bucket is None else TwoBuckets
        return ObjectStore(kind(address, patience_seconds=patience_seconds))
    raise ConfigurationError(f"object stores at {scheme or 'no scheme'}: are not known; {SUPPORTED}")
