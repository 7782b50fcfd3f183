"""What the vision services make of a picture, stored by content: the same picture is never looked at twice by the same
version of a model, in whatever job.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from reelwork.errors import ContractViolation, ObjectNotFound
from reelwork.events import FeatureReady
from reelwork.objects import ObjectStore
from reelwork.objects.keys import feature_key
from reelwork.runtime import Context

if TYPE_CHECKING:
    from reelwork.vision.masks import ForegroundMask

IMAGE_PIXELS_MAX: Final = 50_000_000

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Vector = npt.NDArray[np.float32]


class Extractor(Protocol):
    """model: its name and version; what it says of a picture never changes while that stays the same."""

    @property
    def model(self) -> str: ...
    def extract(self, image: Image, mask: Mask | None) -> bytes: ...
    def check(self, data: bytes) -> object:
        """Raises ContractViolation for anything else than `extract` gives."""


def feature_of(
    context: Context, extractor: Extractor, ready: type[FeatureReady], *, key: str, mask_key: str | None = None
) -> dict[str, Any]:
    """Sees to it that the feature of a picture is stored, and says so.

    The result of the asset: the feature's key, and whether it was there already.
    """
    assert context.asset is not None
    context.emit(ready(job_id=context.job.job_id, event_id=context.new_id(), asset_id=context.asset.asset_id))
    picture = context.objects.get(key)
    mask = None if mask_key is None else context.objects.get(mask_key)

    def make() -> bytes:
        return extractor.extract(decoded(picture), None if mask is None else mask_from_bytes(mask))

    return stored(context.objects, picture + (mask or b""), extractor.model, make, check=extractor.check)


def stored(
    objects: ObjectStore, source: bytes, model: str, make: Callable[[], bytes], *, check: Callable[[bytes], object]
) -> dict[str, Any]:
    """`{"key", "reused"}` of what a model makes of these bytes; made where nobody has made it yet, or it is damaged.

    check: raises ContractViolation for what `make` cannot have made.
    """
    key = feature_key(hashlib.sha256(source).hexdigest(), model)
    try:
        check(objects.get(key))
    except (ObjectNotFound, ContractViolation):
        objects.put(key, make())
        return {"key": key, "reused": False}
    return {"key": key, "reused": True}


def decoded(data: bytes) -> Image:
    """Raises a PermanentError that says what is wrong with the picture."""
    from reelwork.vision.safe_image import decode_image

    return decode_image(data, pixels_max=IMAGE_PIXELS_MAX)


def mask_to_bytes(found: ForegroundMask) -> bytes:
    facts = np.array([found.people_removed, found.whole])
    return _npz(mask=np.packbits(found.mask), shape=np.array(found.mask.shape), facts=facts)


def mask_from_bytes(data: bytes) -> Mask:
    """Raises ContractViolation for anything else than `mask_to_bytes` wrote."""
    arrays = _arrays(data, "mask", "shape")
    height, width = (int(number) for number in arrays["shape"])
    return np.unpackbits(arrays["mask"], count=height * width).reshape(height, width).astype(bool)


def check_mask(data: bytes) -> None:
    """Raises ContractViolation for anything else than `mask_to_bytes` wrote."""
    mask_from_bytes(data)
    mask_facts(data)


def mask_facts(data: bytes) -> dict[str, bool]:
    """Whether people were taken out of a mask, and whether it is the whole picture because nothing stands out."""
    people_removed, whole = _arrays(data, "facts")["facts"]
    return {"people_removed": bool(people_removed), "whole": bool(whole)}


def vector_to_bytes(vector: Vector) -> bytes:
    return _npz(vector=vector.astype(np.float32))


def vector_from_bytes(data: bytes) -> Vector:
    """Raises ContractViolation for anything else than `vector_to_bytes` wrote."""
    return _arrays(data, "vector")["vector"].astype(np.float32)


def _npz(**arrays: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _arrays(data: bytes, *names: str) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ContractViolation("a stored feature is damaged; delete it, and it is made again") from error
