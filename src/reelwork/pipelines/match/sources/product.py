"""What a source of products says: which products there are, and where pictures of each lie."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from reelwork.pipelines.match.web.guard import without_secrets

PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,47}")
SLUG_LENGTH_MAX: Final = 39
HASH_LENGTH: Final = 8


NO_TEXT: Final = "the name is no text (UTF-8), and cannot be passed on; rename it"


@dataclass(frozen=True, slots=True)
class Entry:
    """A product as its source knows it.

    key: the source's own name for it, the same on every reading. locations: http(s) addresses, absolute paths, or
    `object:` and an object key; the best picture first.
    """

    key: str
    title: str
    locations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """Something in a source that cannot be used, while the rest can. where: a line, a file or a number in it."""

    where: str
    reason: str

    def __str__(self) -> str:
        return without_secrets(f"{self.where}: {self.reason}").encode(errors="backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one picture of a product lies. image_id: unique within a job, and fit for object keys."""

    image_id: str
    location: str


@dataclass(frozen=True, slots=True)
class Product:
    """product_id: unique within a job, the same on every reading, and fit for object keys."""

    product_id: str
    title: str
    images: tuple[ImageRef, ...]


def is_text(name: str) -> bool:
    """Whether a name can be written down: those of files may hold any bytes, and JSON half a character."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def product_id_of(key: str) -> str:
    """The key itself where it is a plain word, else what is readable of it and a hash."""
    if PLAIN_KEY.fullmatch(key):
        return key
    ascii_key = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", ascii_key).strip("-")[:SLUG_LENGTH_MAX].rstrip("-") or "product"
    return f"{slug}-{short_hash(key)}"


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]
