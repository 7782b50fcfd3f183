"""Old files of weights are read without their framework, and a file that wants more than numbers is refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from reelwork.errors import UnusableModel
from reelwork.vision.torch_weights import MAGIC, PROTOCOL, read_torch_weights


class FloatStorage:
    """Stands in the pickles for the framework's class of the same name."""


class LongStorage:
    """As above."""


def _rebuild_tensor_v2(*_: Any) -> None:
    """As above; only its name is written."""


class Tensor:
    """Pickles as a tensor of the framework does."""

    def __init__(self, numbers: npt.NDArray[Any], *, offset: int = 0, shape: Any = None, strides: Any = None) -> None:
        self.numbers = np.ascontiguousarray(numbers)
        self.key = str(id(self))
        self.kind = {"f": FloatStorage, "i": LongStorage}[numbers.dtype.kind]
        strides = strides or tuple(step // numbers.itemsize for step in self.numbers.strides)
        self.view = (offset, shape or numbers.shape, strides)

    def __reduce__(self) -> Any:
        return _rebuild_tensor_v2, (("storage", self), *self.view, False, OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, tuple) and len(value) == 2 and value[0] == "storage":
            tensor = value[1]
            return "storage", tensor.kind, tensor.key, "cpu", tensor.numbers.size, None
        return None


@pytest.fixture(autouse=True)
def framework(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names under which the stand-ins are pickled."""
    torch, utilities = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, name, value in (
        (torch, "FloatStorage", FloatStorage),
        (torch, "LongStorage", LongStorage),
        (utilities, "_rebuild_tensor_v2", _rebuild_tensor_v2),
    ):
        monkeypatch.setattr(value, "__module__", module.__name__)
        setattr(module, name, value)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def old_file(tensors: dict[str, Tensor], *, magic: int = MAGIC, counted: int | None = None) -> bytes:
    buffer = io.BytesIO()
    for value in (magic, PROTOCOL, {"little_endian": True}):
        pickle.dump(value, buffer, protocol=2)
    Pickler(buffer, protocol=2).dump(OrderedDict(tensors))
    pickle.dump([tensor.key for tensor in tensors.values()], buffer, protocol=2)
    for tensor in tensors.values():
        buffer.write(struct.pack("<q", tensor.numbers.size if counted is None else counted) + tensor.numbers.tobytes())
    return buffer.getvalue()


def read(data: bytes, folder: Path) -> dict[str, npt.NDArray[Any]]:
    path = folder / "weights.pth"
    path.write_bytes(data)
    return read_torch_weights(path)


def test_tensors_come_out_as_they_went_in(tmp_path: Path) -> None:
    filters = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    steps = np.array([7, -1], np.int64)
    found = read(old_file({"filters": Tensor(filters), "steps": Tensor(steps)}), tmp_path)
    assert list(found) == ["filters", "steps"]
    assert np.array_equal(found["filters"], filters)
    assert np.array_equal(found["steps"], steps)


def test_offsets_and_strides_are_followed(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.float32)
    found = read(old_file({"view": Tensor(numbers, offset=1, shape=(2, 3), strides=(1, 4))}), tmp_path)
    assert found["view"].tolist() == [[1, 5, 9], [2, 6, 10]]


@pytest.mark.parametrize(
    "view",
    [
        {"offset": 3, "shape": (2,), "strides": (1,)},
        {"offset": 0, "shape": (2, 4), "strides": (4, 1)},
        {"offset": 3, "shape": (4,), "strides": (-1,)},
        {"offset": -1, "shape": (2,), "strides": (1,)},
    ],
)
def test_a_tensor_never_reaches_beyond_its_numbers(tmp_path: Path, view: Any) -> None:
    with pytest.raises(UnusableModel, match="beyond"):
        read(old_file({"view": Tensor(np.zeros(4, np.float32), **view)}), tmp_path)


class Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("was-run",)


def test_a_file_that_wants_to_run_code_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnusableModel, match=r"posix\.mkdir|nt\.mkdir"):
        read(pickle.dumps(Attack(), protocol=2), tmp_path)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda data: data[:-1],
        lambda data: b"PK\x03\x04" + data,
        lambda _: pickle.dumps(1) * 5,
    ],
    ids=["empty", "cut off", "another format", "other pickles"],
)
def test_other_files_are_refused(tmp_path: Path, spoil: Any) -> None:
    with pytest.raises(UnusableModel, match="old format"):
        read(spoil(old_file({"a": Tensor(np.zeros(4, np.float32))})), tmp_path)


def test_numbers_that_contradict_their_count_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="instead of 4"):
        read(old_file({"a": Tensor(np.zeros(4, np.float32))}, counted=3), tmp_path)
