"""Reads the tensors of a file that old versions of PyTorch wrote (before the zip format of 1.6), without PyTorch.

Such a file is five pickles and then the raw numbers. A pickle can run any code; this reader builds tensors and ordered
dictionaries and refuses every other name."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from reelwork.errors import UnusableModel

MAGIC: Final = 0x1950A86A20F9469CFC6C
PROTOCOL: Final = 1001

Tensor = npt.NDArray[Any]


@dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    numbers: int


@dataclass(frozen=True)
class _View:
    """A tensor before its storage is read; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_gradient: object
) -> _View:
    return _View(storage, offset, shape, strides)


_ALLOWED: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): _StorageType(np.dtype("<f4")),
    ("torch", "LongStorage"): _StorageType(np.dtype("<i8")),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights do not need") from None

    def persistent_load(self, identity: Any) -> _Storage:
        kind, storage_type, key, _device, numbers, _view = identity
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError(f"it holds a {kind!r}, which is no storage of numbers")
        return _Storage(key, storage_type.dtype, numbers)


def read_torch_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by their names, in the file's order. UnusableModel for any other file."""
    try:
        with path.open("rb") as file:
            magic, protocol, _machine, views, keys = (_Unpickler(file).load() for _ in range(5))
            if (magic, protocol) != (MAGIC, PROTOCOL):
                raise ValueError("it was not written by an old version of PyTorch")
            storages = {view.storage.key: view.storage for view in views.values()}
            numbers = {key: _read_storage(file, storages[key]) for key in keys}
        return {name: _tensor(view, numbers[view.storage.key]) for name, view in views.items()}
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise UnusableModel(f"{path.name} is no file of weights in PyTorch's old format: {error}") from error


def _read_storage(file: IO[bytes], storage: _Storage) -> Tensor:
    (count,) = struct.unpack("<q", _read_exactly(file, 8))
    if count != storage.numbers:
        raise ValueError(f"a storage has {count} numbers instead of {storage.numbers}")
    return np.frombuffer(_read_exactly(file, count * storage.dtype.itemsize), storage.dtype)


def _read_exactly(file: IO[bytes], size_bytes: int) -> bytes:
    data = file.read(size_bytes) if size_bytes >= 0 else b""
    if len(data) != size_bytes:
        raise EOFError("the file ends too early")
    return data


def _tensor(view: _View, numbers: Tensor) -> Tensor:
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    if min((view.offset, *view.strides, *(size - 1 for size in view.shape))) < 0 or last >= len(numbers):
        raise ValueError("a tensor reaches beyond its storage")
    strides = tuple(stride * numbers.itemsize for stride in view.strides)
    return np.lib.stride_tricks.as_strided(numbers[view.offset :], view.shape, strides, writeable=False)
