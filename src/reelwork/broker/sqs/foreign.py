"""What Reelwork has not sent: the notifications of buckets are read, one message for each record."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from reelwork.broker.sqs.envelope import Received, entry_of
from reelwork.broker.sqs.notification import read_notification
from reelwork.broker.sqs.post import Post

log = structlog.get_logger("reelwork.broker")


class Foreign:
    """Of one queue. topic: what it takes; empty where that is more than one."""

    def __init__(self, post: Post, url: str, topic: str) -> None:
        self._post = post
        self._url = url
        self._topic = topic

    async def sort_out(self, received: Received) -> Sequence[Received]:
        """What is to be handed out for it; nothing where it is seen to. Raises StoreUnavailable.

        What is no notification goes to its consumer as it is, and fails there by itself.
        """
        notification = read_notification(received.message.body, self._topic)
        if notification is None:
            return [received._replace(message=received.message._replace(topic=self._topic))]
        for reason in notification.skipped:
            log.info("reelwork.broker.notification_skipped", queue=self._url, reason=reason)
        if len(notification.messages) == 1:
            return [received._replace(message=notification.messages[0])]
        if notification.messages:
            await self._post.send(self._url, [entry_of(message) for message in notification.messages])
        await self._post.delete(self._url, [received.receipt])
        return []
