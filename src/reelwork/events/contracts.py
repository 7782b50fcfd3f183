"""The catalogue: which class is the contract of which topic, and what does not fit is refused."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from reelwork.errors import ContractViolation
from reelwork.events import analyze, job, match, stereo
from reelwork.events.event import Event

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])


def schema_name(event_type: type[Event]) -> str:
    """Topics are dotted, schema files underscored."""
    return event_type.topic.replace(".", "_")


CATALOGUE: tuple[type[Event], ...] = (*analyze.TOPICS, *match.TOPICS, *stereo.TOPICS, *job.TOPICS)
VALIDATORS: dict[str, type[Event]] = {schema_name(event_type): event_type for event_type in CATALOGUE}


def parse_event(topic: str, body: str | bytes) -> Event:
    """The event of a message. Raises ContractViolation when the topic is unknown or the body does not fit."""
    event_type = VALIDATORS.get(topic.replace(".", "_"))
    if event_type is None:
        raise ContractViolation(f"no contract for topic {topic!r}")
    return validated(event_type, body)


def validated(event_type: type[Event], body: str | bytes) -> Event:
    """The event in a body. Raises ContractViolation when the body does not fit its contract."""
    try:
        return event_type.model_validate_json(body)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
        raise ContractViolation(f"{event_type.topic}: {problems}") from error


def validate_event(name: str) -> Callable[[HandlerT], HandlerT]:
    """Decorates a handler whose parameter `event` gets a message of this contract, by the name of its schema.

    A body (JSON, or a mapping) becomes the event before the handler is called; raises ContractViolation where it does
    not fit, and for an event of another contract.
    """
    try:
        event_type = VALIDATORS[name]
    except KeyError:
        raise ContractViolation(f"there is no contract {name!r}; there are: {', '.join(sorted(VALIDATORS))}") from None

    def decorate(handler: HandlerT) -> HandlerT:
        signature = inspect.signature(handler)

        @functools.wraps(handler)
        def checked(*positional: Any, **named: Any) -> Any:
            arguments = signature.bind(*positional, **named).arguments
            arguments["event"] = _event_in(event_type, arguments["event"])
            return handler(**arguments)

        return checked  # type: ignore[return-value]

    return decorate


def _event_in(event_type: type[Event], given: object) -> Event:
    if isinstance(given, Event):
        if not isinstance(given, event_type):
            raise ContractViolation(f"{event_type.topic}: got an event of {given.topic}")
        return given
    if isinstance(given, Mapping):
        return validated(event_type, json.dumps(dict(given), default=str))
    if isinstance(given, str | bytes):
        return validated(event_type, given)
    raise ContractViolation(f"{event_type.topic}: a body is JSON or a mapping, not {type(given).__name__}")


def json_schema(event_type: type[Event]) -> dict[str, Any]:
    """The contract of a topic as JSON Schema (draft 2020-12); every property is required."""
    schema = event_type.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schema_name(event_type), **schema}
