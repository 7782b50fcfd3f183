"""The connections of this process to SQS, and its troubles told as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from reelwork.broker.sqs.address import SqsAddress
from reelwork.errors import StoreUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

CONNECTIONS_MAX: Final = 128
"""A poll of each queue that is waited for, and whatever else goes on beside."""
CONNECT_SECONDS_MAX: Final = 5.0
ANSWER_SECONDS_MAX: Final = 10.0
TRIES_MAX: Final = 3
"""Of a request that was throttled, or whose connection broke; the pauses between them are botocore's."""
MISSING: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
DELETED_RECENTLY: Final = frozenset({"AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"})
NOT_LET_IN: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "KmsAccessDenied"})
NO_CREDENTIALS: Final = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound)
T = TypeVar("T")


class Refused(StoreUnavailable):
    """SQS does not let this process do what it needs; it takes a person to mend that."""


class Denied(Refused):
    """These credentials are good, but not for this."""


class QueueMissing(StoreUnavailable):
    """There is no such queue."""


class SqsService:
    def __init__(self, address: SqsAddress) -> None:
        self._address = address
        self._client: SQSClient | None = None
        self._opening = asyncio.Lock()
        self._opened = AsyncExitStack()
        self._is_closed = False

    async def ask(self, question: Callable[[SQSClient], Awaitable[T]], *, seconds: float = ANSWER_SECONDS_MAX) -> T:
        """Raises StoreUnavailable; QueueMissing and Refused are among it."""
        try:
            client = self._client or await self._open()
            async with asyncio.timeout(seconds):
                return await question(client)
        except TimeoutError as error:
            raise StoreUnavailable(f"the broker {self._address.shown} does not answer within {seconds:g} s") from error
        except ClientError as error:
            self._refuse(error)
        except NO_CREDENTIALS as error:
            raise Refused(
                f"the broker {self._address.shown} needs credentials of AWS ({error}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give the machine a role"
            ) from error
        except NoRegionError as error:
            raise Refused(
                f"the broker {self._address.shown} needs a region: set AWS_REGION, or ?region= in its URL"
            ) from error
        except (BotoCoreError, OSError) as error:
            raise StoreUnavailable(f"the broker {self._address.shown} does not answer: {error}") from error

    async def _open(self) -> SQSClient:
        async with self._opening:
            if self._is_closed:
                raise StoreUnavailable(f"the broker {self._address.shown} was closed")
            if self._client is None:
                config = AioConfig(
                    connect_timeout=CONNECT_SECONDS_MAX,
                    read_timeout=ANSWER_SECONDS_MAX + self._address.poll_seconds,
                    max_pool_connections=CONNECTIONS_MAX,
                    retries={"mode": "standard", "total_max_attempts": TRIES_MAX},
                )
                creating = get_session().create_client(
                    "sqs", region_name=self._address.region, endpoint_url=self._address.endpoint, config=config
                )
                self._client = await self._opened.enter_async_context(creating)
            return self._client

    def _refuse(self, error: ClientError) -> NoReturn:
        told = error.response.get("Error", {})
        code, message = told.get("Code", ""), told.get("Message", "")
        shown = self._address.shown
        if code in MISSING:
            raise QueueMissing(f"the broker {shown} has no such queue") from error
        if code in DELETED_RECENTLY:
            raise StoreUnavailable(
                f"the broker {shown} makes no queue of a name for 60 s after it was deleted"
            ) from error
        if code in NOT_LET_IN:
            raise Refused(
                f"the broker {shown} does not take these credentials of AWS ({code}: {message}): renew them, or name "
                "others by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the machine's role"
            ) from error
        if code in DENIED:
            raise Denied(
                f"the broker {shown} refuses what is needed of it: {message}. Allow it in the policy of this role; "
                "docs/brokers.md lists all that is needed"
            ) from error
        raise StoreUnavailable(f"the broker {shown} refuses: {code}: {message}") from error

    async def close(self) -> None:
        self._client, self._is_closed = None, True
        await self._opened.aclose()
