from __future__ import annotations

import numpy as np
import pytest

from reelwork.errors import ContractViolation
from reelwork.objects import open_objects
from reelwork.pipelines.match.marks import catalogue_with_marks, marks_from_bytes, marks_to_bytes
from reelwork.pipelines.match.matching import Catalogue
from tests.pipelines.match.pictures import product, product_picture

MARKS = [np.array([True, False, True]), np.zeros(0, np.bool_), np.ones(9, np.bool_)]


@pytest.mark.parametrize("marks", [MARKS, MARKS[:1], [np.zeros(0, np.bool_)], []])
def test_come_back_as_they_were(marks: list[np.ndarray]) -> None:
    back = marks_from_bytes(marks_to_bytes(marks))
    assert [one.tolist() for one in back] == [one.tolist() for one in marks]


@pytest.mark.parametrize("data", [b"", b"torn", marks_to_bytes(MARKS)[:-30], marks_to_bytes(MARKS)[:60]])
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(ContractViolation):
        marks_from_bytes(data)


def test_marks_of_other_pictures_are_refused() -> None:
    with pytest.raises(ContractViolation):
        Catalogue([product("box", product_picture(1))], marks=MARKS)


def test_are_found_once_and_kept() -> None:
    objects = open_objects("memory://")
    products = [product(f"box-{seed}", product_picture(seed, brand=7)) for seed in (1, 2)]
    keys = [["features/one"], ["features/two"]]
    first = catalogue_with_marks(products, keys, objects)
    assert not first.marks[0].all()
    (kept,) = objects.keys("features/")
    assert [one.tolist() for one in catalogue_with_marks(products, keys, objects).marks] == [
        one.tolist() for one in first.marks
    ]
    objects.put(kept, marks_to_bytes([np.ones_like(one) for one in first.marks]))
    assert catalogue_with_marks(products, keys, objects).marks[0].all(), "it reads what is kept"
    objects.put(kept, b"torn")
    assert not catalogue_with_marks(products, keys, objects).marks[0].all(), "damaged, it is made again"
    catalogue_with_marks(products, list(reversed(keys)), objects)
    assert len(list(objects.keys("features/"))) == 2, "another catalogue"
