"""Sources of products: which products there are, and the pictures of each. One file each; found by entry points."""

from reelwork.pipelines.match.sources.base import ProductSource, SourceUnusable
from reelwork.pipelines.match.sources.listing import list_products
from reelwork.pipelines.match.sources.product import BrokenEntry, Entry, ImageRef, Product
from reelwork.pipelines.match.sources.registry import known_sources, load_source

__all__ = [
    "BrokenEntry",
    "Entry",
    "ImageRef",
    "Product",
    "ProductSource",
    "SourceUnusable",
    "known_sources",
    "list_products",
    "load_source",
]
