"""Every metric of events, by its name in Prometheus. Labels are names out of declarations, never ids.

docs/observability.md holds them all; a test says where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reelwork.runtime.metrics.tally import TALLY

FRACTIONS_OF_A_SECOND: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SECONDS_TO_HOURS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 43200.0)
HANDLER_SECONDS: Final = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
GROUP_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


@dataclass(frozen=True, slots=True)
class Counter:
    """Only ever grows."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def count(self, *labels: str, by: float = 1) -> None:
        TALLY.count(self.name, labels, by)


@dataclass(frozen=True, slots=True)
class Histogram:
    """bounds: of its buckets, in the unit of its name."""

    name: str
    help: str
    bounds: tuple[float, ...]
    labels: tuple[str, ...] = ()

    def observe(self, value: float, *labels: str, times: int = 1) -> None:
        """A clock that was set back does not make a negative duration of it."""
        TALLY.observe(self.name, labels, max(value, 0.0), self.bounds, times)


JOBS_SUBMITTED: Final = Counter("reelwork_jobs_submitted_total", "Jobs that were recorded.", ("pipeline",))
JOB_SECONDS: Final = Histogram(
    "reelwork_job_duration_seconds", "From submit to completion of a job.", SECONDS_TO_HOURS, ("pipeline",)
)
PHASE_MOVES: Final = Counter(
    "reelwork_phase_moves_total", "Phases that jobs entered; the last is completed.", ("pipeline", "phase")
)
ASSETS: Final = Counter("reelwork_assets_total", "Outcomes of assets that were recorded.", ("stage", "outcome"))
COMPLETIONS: Final = Counter(
    "reelwork_stage_completions_total", "Stages that completed, by the rule that fired.", ("stage", "reason")
)
COMPLETION_SECONDS: Final = Histogram(
    "reelwork_completion_publish_seconds",
    "From the last outcome of a stage to its published completion.",
    FRACTIONS_OF_A_SECOND,
)
GROUP_SIZE: Final = Histogram("reelwork_commit_group_works", "Works that were committed together.", GROUP_SIZES)
COMMIT_SECONDS: Final = Histogram("reelwork_commit_duration_seconds", "One commit of a group.", FRACTIONS_OF_A_SECOND)
HANDLER_TIME: Final = Histogram(
    "reelwork_handler_duration_seconds",
    "One call of a handler; those of a group count with their mean.",
    HANDLER_SECONDS,
    ("service", "queue"),
)
RETRIES: Final = Counter("reelwork_retries_total", "Deliveries that failed and are tried again.", ("queue",))
DEAD_LETTERS: Final = Counter("reelwork_dead_letters_total", "Deliveries that failed for good.", ("queue",))
LEASE_LOSSES: Final = Counter(
    "reelwork_lease_losses_total", "Deliveries whose lease had ended when their worker was done.", ("queue",)
)
SUSPECTS: Final = Counter(
    "reelwork_suspect_deliveries_total", "Deliveries that came back without having failed.", ("queue",)
)
SWEEPS: Final = Counter("reelwork_sweeps_total", "Parts of the rounds of the sweeper.", ("part", "outcome"))
PUBLISHED: Final = Counter("reelwork_events_published_total", "Events that the relay carried to the broker.")
REPUBLISHED: Final = Counter("reelwork_events_republished_total", "Events that were published once more.")
WORKER_ENDS: Final = Counter(
    "reelwork_worker_restarts_total", "Worker processes that ended unasked and were replaced.", ("cause",)
)

COUNTERS: Final = (
    JOBS_SUBMITTED,
    PHASE_MOVES,
    ASSETS,
    COMPLETIONS,
    RETRIES,
    DEAD_LETTERS,
    LEASE_LOSSES,
    SUSPECTS,
    SWEEPS,
    PUBLISHED,
    REPUBLISHED,
    WORKER_ENDS,
)
HISTOGRAMS: Final = (JOB_SECONDS, COMPLETION_SECONDS, GROUP_SIZE, COMMIT_SECONDS, HANDLER_TIME)
