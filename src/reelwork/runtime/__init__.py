"""The runtime: makes declared pipelines happen, on any number of processes."""

from reelwork.runtime.context import Context
from reelwork.runtime.declaration import Catalogue, Phase, Pipeline, Service, Stage

__all__ = ["Catalogue", "Context", "Phase", "Pipeline", "Service", "Stage"]
