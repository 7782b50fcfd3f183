"""Two buckets of S3 behind one face: in the one lie the sources and segments that jobs are made from, in the other all
that is made of them. The key alone says which it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reelwork.objects.address import S3Address
from reelwork.objects.engine import Engine
from reelwork.objects.keys import INPUT_PREFIX, SEGMENT_PREFIX
from reelwork.objects.s3 import S3

if TYPE_CHECKING:
    from obstore import ObjectMeta

INPUT_PREFIXES: Final = (INPUT_PREFIX, SEGMENT_PREFIX)


class TwoBuckets(Engine):
    """Of an address with an input bucket. What must not be replaced lies in the other one, so only that one is tried
    for it; nothing is ever copied from the one into the other.
    """

    is_remote = True

    def __init__(self, address: S3Address, *, patience_seconds: float) -> None:
        assert address.input_bucket is not None
        inputs = replace(address, bucket=address.input_bucket, input_bucket=None)
        self._inputs = S3(inputs, patience_seconds=patience_seconds)
        self._outputs = S3(replace(address, input_bucket=None), patience_seconds=patience_seconds)
        self.shown = address.shown
        super().__init__(self._outputs.client)

    def client_of(self, key: str) -> Any:
        return self._of(key).client

    def bucket_of(self, key: str) -> str:
        return self._of(key).bucket_of(key)

    def listed(self, prefix: str) -> Iterator[ObjectMeta]:
        """Only what lies where it belongs."""
        for bucket in (self._inputs, self._outputs):
            if bucket is self._outputs or not prefix or self._of(prefix) is bucket:
                yield from (meta for meta in bucket.listed(prefix) if self._of(meta["path"]) is bucket)

    def ping(self) -> None:
        self._outputs.ping()
        self._inputs.ping()

    def verify(self) -> None:
        self._outputs.verify()
        self._inputs.look()

    def copy_new(self, source: str, key: str) -> None:
        if self._of(source) is not self._of(key):
            raise ValueError(f"{source} and {key} lie in different buckets")
        self._of(key).copy_new(source, key)

    def delete(self, keys: Sequence[str]) -> None:
        for bucket in (self._inputs, self._outputs):
            bucket.delete([key for key in keys if self._of(key) is bucket])

    def link(self, key: str, seconds: int) -> str:
        return self._of(key).link(key, seconds)

    def _of(self, key: str) -> S3:
        return self._inputs if key.startswith(INPUT_PREFIXES) else self._outputs
