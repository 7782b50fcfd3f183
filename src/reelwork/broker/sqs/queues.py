"""Where the queues are: looked up by their names, told by a setting, or made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from reelwork.broker.sqs.address import SqsAddress
from reelwork.broker.sqs.names import Names, dead_attributes, queue_attributes
from reelwork.broker.sqs.service import Denied, QueueMissing, SqsService
from reelwork.errors import ConfigurationError

NAMED_MAX: Final = 3


class Queues:
    def __init__(self, service: SqsService, address: SqsAddress) -> None:
        self._service = service
        self._address = address
        self._names = Names(address.prefix)
        self._urls: dict[str, str] = {}

    async def declare(self, queues: Iterable[str]) -> None:
        """Finds every queue, or makes it where that is allowed. Raises ConfigurationError for those that are missing,
        StoreUnavailable.
        """
        queues = list(queues)
        for queue in queues:
            self._names.dead(queue)  # tells at once of what cannot be spelt
        found = await asyncio.gather(*map(self.url, queues), return_exceptions=True)
        missing = []
        for queue, result in zip(queues, found, strict=True):
            if isinstance(result, QueueMissing):
                missing.append(self._names.queue(queue))
            elif isinstance(result, BaseException):
                raise result
        if missing:
            more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
            raise ConfigurationError(
                f"the broker {self._address.shown} has no queue {', '.join(missing[:NAMED_MAX])}{more}: make them by "
                "infra/aws/template.yaml, name the right prefix, region or account, or let Reelwork make them with "
                "create=yes in the broker's URL"
            )

    async def url(self, queue: str) -> str:
        """Raises QueueMissing where it is not there and is not to be made, StoreUnavailable."""
        told = self._address.queue_urls.get(queue)
        return told or await self._find(queue, self._names.queue(queue), is_made=self._address.creates)

    async def dead_url(self, queue: str) -> str:
        """Of the queue of what SQS itself gave up on. Raises as `url`, but makes none."""
        return await self._find(f"{queue} dead", self._names.dead(queue), is_made=False)

    async def known_url(self, queue: str) -> str | None:
        """As `url`, but makes none; None where there is none. Raises StoreUnavailable."""
        told = self._address.queue_urls.get(queue)
        try:
            return told or await self._find(queue, self._names.queue(queue), is_made=False)
        except QueueMissing:
            return None

    def forget(self, queue: str) -> None:
        """It was deleted, as it seems."""
        self._urls.pop(queue, None)
        self._urls.pop(f"{queue} dead", None)

    async def _find(self, key: str, name: str, *, is_made: bool) -> str:
        if key not in self._urls:
            try:
                found = await self._service.ask(lambda client: client.get_queue_url(QueueName=name))
                self._urls[key] = found["QueueUrl"]
            except QueueMissing as error:
                if not is_made:
                    raise QueueMissing(f"the broker {self._address.shown} has no queue {name}") from error
                self._urls[key] = await self._make(key)
        return self._urls[key]

    async def _make(self, queue: str) -> str:
        dead_url = await self._create(self._names.dead(queue), dead_attributes())
        told = await self._service.ask(
            lambda client: client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])
        )
        return await self._create(self._names.queue(queue), queue_attributes(told["Attributes"]["QueueArn"]))

    async def _create(self, name: str, attributes: Mapping[str, str]) -> str:
        """One that is there with the same attributes is no hindrance: another process was faster."""
        made = await self._service.ask(
            lambda client: client.create_queue(QueueName=name, Attributes=dict(attributes))  # type: ignore[arg-type]
        )
        return made["QueueUrl"]

    async def ping(self, queue: str | None) -> None:
        """Raises StoreUnavailable unless SQS answers, be it that there is no such queue; without a name also that this
        process may know nothing of one.
        """
        name = self._names.queue(queue or "any")
        try:
            await self._service.ask(lambda client: client.get_queue_url(QueueName=name))
        except QueueMissing:
            return
        except Denied:
            if queue is not None:
                raise
