"""Features are kept by content: who asks again gets what is there; only a new picture or model makes a new one."""

from __future__ import annotations

import numpy as np
import pytest

from reelwork.errors import ContractViolation
from reelwork.objects import open_objects
from reelwork.pipelines.match.features import (
    mask_facts,
    mask_from_bytes,
    mask_to_bytes,
    stored,
    vector_from_bytes,
    vector_to_bytes,
)
from reelwork.vision.masks import ForegroundMask


def sound(data: bytes) -> None:
    if data != b"feature":
        raise ContractViolation("damaged")


class TestStored:
    def test_is_made_once_for_a_picture_and_a_model(self) -> None:
        objects, made = open_objects("memory://"), []

        def make() -> bytes:
            made.append(b"feature")
            return b"feature"

        first = stored(objects, b"picture", "model@1", make, check=sound)
        assert stored(objects, b"picture", "model@1", make, check=sound) == {"key": first["key"], "reused": True}
        assert (len(made), objects.get(first["key"]), first["reused"]) == (1, b"feature", False)
        for source, model in ((b"other", "model@1"), (b"picture", "model@2")):
            assert stored(objects, source, model, make, check=sound)["reused"] is False
        assert len(made) == 3

    def test_is_made_again_where_it_is_damaged(self) -> None:
        objects = open_objects("memory://")
        key = stored(objects, b"picture", "model@1", lambda: b"feature", check=sound)["key"]
        objects.put(key, b"feat")
        assert stored(objects, b"picture", "model@1", lambda: b"feature", check=sound)["reused"] is False
        assert objects.get(key) == b"feature"

    def test_a_picture_that_cannot_be_looked_at_leaves_nothing(self) -> None:
        objects = open_objects("memory://")

        def make() -> bytes:
            raise ValueError("torn")

        with pytest.raises(ValueError, match="torn"):
            stored(objects, b"picture", "model@1", make, check=sound)
        assert list(objects.keys("")) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 16), (7, 9)])
def test_a_mask_comes_back(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(1).random(shape) > 0.5
    data = mask_to_bytes(ForegroundMask(mask, "grabcut@1", people_removed=True, whole=False))
    assert (mask_from_bytes(data) == mask).all()
    assert mask_facts(data) == {"people_removed": True, "whole": False}


def test_a_vector_comes_back() -> None:
    vector = np.linspace(-1, 1, 7, dtype=np.float32)
    assert (vector_from_bytes(vector_to_bytes(vector)) == vector).all()


@pytest.mark.parametrize("damage", [b"", b"no archive", vector_to_bytes(np.zeros(3, np.float32))[:-40]])
def test_what_is_damaged_says_so(damage: bytes) -> None:
    for read in (vector_from_bytes, mask_from_bytes, mask_facts):
        with pytest.raises(ContractViolation, match="damaged"):
            read(damage)
