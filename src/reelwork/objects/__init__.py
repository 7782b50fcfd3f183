"""Object storage: inputs, outputs and derived data, by key."""

from reelwork.objects.open import open_objects
from reelwork.objects.store import ObjectStore
from reelwork.objects.stored_object import StoredObject

__all__ = ["ObjectStore", "StoredObject", "open_objects"]
