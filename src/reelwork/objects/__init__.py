"""Object storage: inputs, outputs and derived data, by key."""

from reelwork.objects.store import ObjectStore, open_objects

__all__ = ["ObjectStore", "open_objects"]
