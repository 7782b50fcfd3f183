"""What a pipeline author writes: services with their handlers and stages, and the phases a job goes through.

Declarations only say what is; the worker, conductor and sweeper read them and do it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from reelwork.errors import ConfigurationError
from reelwork.events import Announcement, AssetEvent, Event, IdentifiedEvent, StageEnd
from reelwork.ledger import CompletionPolicy, Job, Ledger, NewJob, StageRule
from reelwork.objects import ObjectStore

if TYPE_CHECKING:
    from reelwork.runtime.context import Context

DEFAULT_PREFETCH: Final = 1

Handler = Callable[[Any, "Context"], Any]
HandlerT = TypeVar("HandlerT", bound=Handler)
JobMaker = Callable[[Any, ObjectStore], NewJob]
"""The job of an event that nobody has submitted. Raises an error where there is to be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One fan-out and fan-in. policy: None = the default policy of the settings. announced_by: None where each of its
    messages says how many there are.

    Several handlers may be of one stage, each with an announcement of its own: they say the same of it but for that.
    """

    name: str
    announced_by: type[Announcement] | None
    completes_with: type[StageEnd]
    policy: CompletionPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A queue of a service: what arrives there, and who handles it. Without a handler it only announces its stage.

    only_for: tells the jobs whose messages are taken; those of others are acknowledged unseen. None = all.
    makes_job: makes the job of a message that comes before it, of a stage whose messages say how many there are.
    """

    service: str
    event_type: type[Event]
    queue: str
    handler: Handler | None
    prefetch: int = DEFAULT_PREFETCH
    timeout_seconds: float | None = None
    stage: Stage | None = None
    only_for: Callable[[Job], bool] | None = None
    makes_job: JobMaker | None = None

    def takes(self, job: Job) -> bool:
        return self.only_for is None or self.only_for(job)


class Service:
    """A named set of handlers, deployable alone. All replicas of a service share its queues.

    check: looks, before a worker of it starts, whether it can work with the settings; raises ConfigurationError.
    """

    def __init__(self, name: str, *, check: Callable[[], None] | None = None) -> None:
        self.name = name
        self.check = check
        self._subscriptions: list[Subscription] = []

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        return tuple(self._subscriptions)

    def on(
        self,
        event_type: type[Event],
        *,
        queue: str,
        prefetch: int = DEFAULT_PREFETCH,
        timeout_seconds: float | None = None,
        only_for: Callable[[Job], bool] | None = None,
        makes_job: JobMaker | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Hands every event of this type to the function: `handler(event, context)`.

        prefetch: deliveries worked on at once in one process. timeout_seconds: of one call; None = the default setting.
        only_for: the jobs that the function works for, where other jobs' events need none of it. makes_job: of a stage,
        the job that an event is of when nobody has submitted it.
        """

        def register(handler: HandlerT) -> HandlerT:
            self._subscriptions.append(
                Subscription(
                    service=self.name,
                    event_type=event_type,
                    queue=queue,
                    handler=handler,
                    prefetch=prefetch,
                    timeout_seconds=timeout_seconds,
                    only_for=only_for,
                    makes_job=makes_job,
                )
            )
            return handler

        return register

    def stage(
        self,
        name: str,
        *,
        announced_by: type[Announcement] | None,
        completes_with: type[StageEnd],
        policy: CompletionPolicy | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Makes the function below the handler of a stage: called once an asset, its return value is the asset's
        result.

        The announcements arrive on the handler's queue with `.batch` behind its name. announced_by: None for messages
        that all say how many there are (`AssetEvent.announced`).
        """
        stage = Stage(name=name, announced_by=announced_by, completes_with=completes_with, policy=policy)

        def attach(handler: HandlerT) -> HandlerT:
            own = [subscription for subscription in self._subscriptions if subscription.handler is handler]
            if not own or not all(issubclass(subscription.event_type, AssetEvent) for subscription in own):
                raise ConfigurationError(f"stage {name} needs a handler registered with @service.on(<an asset event>)")
            for subscription in own:
                self._subscriptions.remove(subscription)
                self._subscriptions.append(replace(subscription, stage=stage))
                if announced_by is not None:
                    self._subscriptions.append(
                        Subscription(
                            service=self.name,
                            event_type=announced_by,
                            queue=f"{subscription.queue}.batch",
                            handler=None,
                            stage=stage,
                            only_for=subscription.only_for,
                        )
                    )
            return handler

        return attach


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A step in the life of a job.

    stages: the completions it waits for; None = a service says when the job is complete. is_left_by_service: so it does
    although there are stages, which then only tell how far it is. request: makes the event that starts the phase.
    share: its part of the job's progress.
    """

    name: str
    stages: tuple[str, ...] | None
    request: Callable[[Job], Event] | None = None
    share: float = 1.0
    is_left_by_service: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline as a newcomer reads it in a minute.

    parameters: the model of what a job of this pipeline is given. submitted: the event that hands a new job to the
    first service. check: refuses, at submit, parameters that cannot work here. details: what the pipeline adds to the
    account of one of its jobs. files: its parameters that may be given as files, with what makes a parameter of their
    object keys by file name; none of them where it works on parameters alone. None = it works on one video.
    """

    name: str
    parameters: type[BaseModel]
    submitted: type[Event]
    phases: tuple[Phase, ...]
    services: tuple[Service, ...]
    check: Callable[[Any], None] | None = None
    details: Callable[[Job, Ledger], Mapping[str, Any]] | None = None
    files: Mapping[str, Callable[[Mapping[str, str]], Any]] | None = None

    @property
    def subscriptions(self) -> list[Subscription]:
        return [subscription for service in self.services for subscription in service.subscriptions]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every installed pipeline, and what the runtime must know of all of them together."""

    pipelines: Mapping[str, Pipeline]
    subscriptions: Sequence[Subscription] = field(init=False)
    stage_rules: Mapping[str, StageRule] = field(init=False)

    def __post_init__(self) -> None:
        subscriptions = _distinct(s for pipeline in self.pipelines.values() for s in pipeline.subscriptions)
        rules = _stage_rules(subscriptions)
        for pipeline in self.pipelines.values():
            _check_phases(pipeline, known_stages=rules)
        object.__setattr__(self, "subscriptions", subscriptions)
        object.__setattr__(self, "stage_rules", rules)

    @classmethod
    def of(cls, pipelines: Iterable[Pipeline]) -> Catalogue:
        """Raises ConfigurationError for declarations that contradict each other."""
        by_name: dict[str, Pipeline] = {}
        for pipeline in pipelines:
            if by_name.setdefault(pipeline.name, pipeline) is not pipeline:
                raise ConfigurationError(f"two pipelines are called {pipeline.name}")
        return cls(by_name)

    def pipeline(self, name: str) -> Pipeline:
        """Raises ConfigurationError naming the installed ones."""
        try:
            return self.pipelines[name]
        except KeyError:
            known = ", ".join(sorted(self.pipelines)) or "none"
            raise ConfigurationError(f"no pipeline is called {name!r}; installed: {known}") from None

    def file_fields(self) -> frozenset[str]:
        """Every parameter of any pipeline that may be given as files."""
        return frozenset(field for pipeline in self.pipelines.values() for field in pipeline.files or ())

    def services(self) -> list[str]:
        return sorted({subscription.service for subscription in self.subscriptions})

    def check_settings(self, services: Collection[str]) -> None:
        """Raises ConfigurationError where one of the services, all where none is named, cannot work with them."""
        for pipeline in self.pipelines.values():
            for service in pipeline.services:
                if service.check is not None and (not services or service.name in services):
                    service.check()

    def bindings(self) -> list[tuple[str, str]]:
        """(topic, queue) pairs."""
        return [(subscription.event_type.topic, subscription.queue) for subscription in self.subscriptions]

    def queues_feeding(self, stage: str) -> list[str]:
        return [queue for _, queue in self.bindings_feeding(stage)]

    def bindings_feeding(self, stage: str) -> list[tuple[str, str]]:
        """(topic, queue) pairs of what a stage is made from: its announcements and its assets."""
        feeding = [s for s in self.subscriptions if s.stage is not None and s.stage.name == stage]
        return [(subscription.event_type.topic, subscription.queue) for subscription in feeding]


def _distinct(subscriptions: Iterable[Subscription]) -> list[Subscription]:
    """Each queue once: pipelines may share a service, but a queue has one event type and one handler."""
    by_queue: dict[str, Subscription] = {}
    for subscription in subscriptions:
        if by_queue.setdefault(subscription.queue, subscription) != subscription:
            raise ConfigurationError(f"queue {subscription.queue} is declared twice, in different ways")
    return list(by_queue.values())


def _check_phases(pipeline: Pipeline, *, known_stages: Mapping[str, StageRule]) -> None:
    """A job must be able to leave every phase."""
    names = [phase.name for phase in pipeline.phases]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(f"pipeline {pipeline.name} needs phases, and each its own name")
    for phase in pipeline.phases:
        unknown = sorted(set(phase.stages or ()) - set(known_stages))
        if unknown:
            raise ConfigurationError(f"phase {phase.name} of {pipeline.name} waits for undeclared {', '.join(unknown)}")


def _stage_rules(subscriptions: Sequence[Subscription]) -> dict[str, StageRule]:
    stages: dict[str, Stage] = {}
    for subscription in subscriptions:
        stage = subscription.stage
        if stage is None:
            if subscription.makes_job is not None:
                raise ConfigurationError(f"{subscription.queue} makes jobs, which only the handler of a stage can")
            continue
        first = stages.setdefault(stage.name, stage)
        if (first.completes_with, first.policy) != (stage.completes_with, stage.policy):
            raise ConfigurationError(f"two services declare stage {stage.name} in different ways")
    for subscription in subscriptions:
        event_type = subscription.event_type
        if event_type.topic in stages and not issubclass(event_type, IdentifiedEvent):
            raise ConfigurationError(
                f"stage {event_type.topic} has the name of a topic whose events have no id of their own: "
                "the stage's completion would be taken for one of them; rename either"
            )
    return {name: StageRule(policy=stage.policy, completes_with=stage.completes_with) for name, stage in stages.items()}
