"""What the pictures of a catalogue share is looked for once, and kept by what the catalogue consists of: one worker of
a job does it, and the next job on the same products does not.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Final

import numpy as np

from reelwork.errors import ContractViolation, ObjectNotFound
from reelwork.objects import ObjectStore
from reelwork.objects.keys import feature_key
from reelwork.pipelines.match.matching import MARKS_REVISION, Catalogue, Marks, ProductFeatures

MODEL: Final = f"shared@{MARKS_REVISION}"


def catalogue_with_marks(
    products: Sequence[ProductFeatures], keypoint_keys: Sequence[Sequence[str]], objects: ObjectStore
) -> Catalogue:
    """keypoint_keys: of each product, where the keypoints of its pictures lie; they are named by content."""
    key = feature_key(hashlib.sha256(json.dumps(keypoint_keys).encode()).hexdigest(), MODEL)
    try:
        return Catalogue(products, marks=marks_from_bytes(objects.get(key)))
    except (ObjectNotFound, ContractViolation):
        catalogue = Catalogue(products)
        objects.put(key, marks_to_bytes(catalogue.marks))
        return catalogue


def marks_to_bytes(marks: Sequence[Marks]) -> bytes:
    file = io.BytesIO()
    joined = np.concatenate(marks) if marks else np.zeros(0, np.bool_)
    np.savez(file, marks=np.packbits(joined), lengths=np.array([len(one) for one in marks], np.int64))
    return file.getvalue()


def marks_from_bytes(data: bytes) -> list[Marks]:
    """Raises ContractViolation for anything else than `marks_to_bytes` wrote."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            lengths = arrays["lengths"]
            joined = np.unpackbits(arrays["marks"], count=int(lengths.sum())).astype(np.bool_)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ContractViolation("what the pictures of a catalogue share is damaged, and is looked for again") from error
    return np.split(joined, np.cumsum(lengths)[:-1]) if len(lengths) else []
