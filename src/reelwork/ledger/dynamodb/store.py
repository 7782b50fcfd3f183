"""What the ledger asks of DynamoDB: consistent reads of many items, queries in pages, transactions whose outcome is
known.

Errors become those of Reelwork here. Nothing here knows what is stored.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from reelwork.errors import InvalidWork, StoreUnavailable, StoreUnreachable, WriteConflict
from reelwork.ledger.dynamodb.items import Item, Key, decode
from reelwork.ledger.dynamodb.tables import HASH_KEY, INDEXES, RANGE_KEY

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

READ_KEYS_MAX: Final = 100
DELETE_KEYS_MAX: Final = 25
ACTIONS_MAX: Final = 100
TRANSACTION_BYTES_MAX: Final = 4 * 1024 * 1024
CONFLICT_TRIES_MAX: Final = 200
CONFLICT_SECONDS_MAX: Final = 60.0
CONFLICT_PAUSE_SECONDS_MIN: Final = 0.005
CONFLICT_PAUSE_SECONDS_MAX: Final = 0.5
UNKNOWN_TRIES_MAX: Final = 5
"""How often a transaction is sent again, under its token, when nothing was heard of it; each is tried by the client as
often as it tries any request."""
LEFT_OVER_TRIES_MAX: Final = 12
PAUSE_SECONDS_MAX: Final = 2.0

COLLISIONS: Final = frozenset({"ConditionalCheckFailed", "TransactionConflict"})
COLLIDED: Final = frozenset({"ConditionalCheckFailedException", "TransactionConflictException"})
THROTTLES: Final = frozenset(
    {
        "ThrottlingError",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
    }
)
REFUSALS: Final = frozenset({"ValidationError", "ValidationException", "ItemCollectionSizeLimitExceeded"})
UNKNOWN: Final = frozenset(
    {"TransactionInProgressException", "InternalServerError", "ServiceUnavailable", "500", "503"}
)
NO_ACCESS: Final = frozenset(
    {
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
    }
)
MAKE_IT: Final = "Deploy infra/aws/template.yaml, or add create=on to the dynamodb:// URL to have it made"
NOTHING: Final[Any] = {}
T = TypeVar("T")


class Forbidden(StoreUnavailable):
    """Somebody must give a right, a credential or a table; what waits for it goes on then."""


class Store:
    """One table. Thread-safe."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self.client = client
        self.table = table

    def get(self, key: Key) -> Item | None:
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Those that are there, each as it is at some moment of this call."""
        found: dict[Key, Item] = {}
        for first in range(0, len(keys), READ_KEYS_MAX):
            wanted: Any = [_key(key) for key in dict.fromkeys(keys[first : first + READ_KEYS_MAX])]
            for left_tries in reversed(range(LEFT_OVER_TRIES_MAX)):
                with self.errors("cannot be read"):
                    answer = self.client.batch_get_item(
                        RequestItems={self.table: {"Keys": wanted, "ConsistentRead": True}}
                    )
                for raw in answer["Responses"].get(self.table, []):
                    item = decode(raw)
                    found[str(item[HASH_KEY]), str(item[RANGE_KEY])] = item
                wanted = (answer.get("UnprocessedKeys") or {}).get(self.table, NOTHING).get("Keys")
                if not wanted:
                    break
                if not left_tries:
                    raise StoreUnavailable(f"the table {self.table} is read faster than it can be: try again")
                _pause(LEFT_OVER_TRIES_MAX - left_tries)
        return found

    def query(
        self,
        partition: str,
        *,
        index: str | None = None,
        prefix: str = "",
        after: str | None = None,
        up_to: str | None = None,
        newest_first: bool = False,
        page_size: int | None = None,
    ) -> Iterator[list[Item]]:
        """Items of a partition in the order of their range keys, page by page; of an index only their keys.

        after: those behind this one in the order of reading; or up_to: none with a greater range key; or prefix: those
        that begin with it. An index may lag behind what was written; the table itself does not.
        """
        hash_key, range_key = (HASH_KEY, RANGE_KEY) if index is None else INDEXES[index]
        condition, values = "#p = :p", {":p": _text(partition)}
        if after is not None:
            condition += f" AND #r {'<' if newest_first else '>'} :a"
            values |= {":a": _text(after)}
        elif up_to is not None:
            condition += " AND #r <= :u"
            values |= {":u": _text(up_to)}
        elif prefix:
            condition += " AND begins_with(#r, :b)"
            values |= {":b": _text(prefix)}
        names = {"#p": hash_key} | ({"#r": range_key} if "#r" in condition else {})
        request: dict[str, Any] = {
            "TableName": self.table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": not newest_first,
        }
        request |= {"ConsistentRead": True} if index is None else {"IndexName": index}
        request |= {"Limit": page_size} if page_size else {}
        while True:
            with self.errors("cannot be read"):
                answer = self.client.query(**request)
            page = [decode(raw) for raw in answer["Items"]]
            if page:
                yield page
            if not answer.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def items(self, partition: str, *, prefix: str = "") -> Iterator[Item]:
        """All of a partition of the table."""
        for page in self.query(partition, prefix=prefix):
            yield from page

    def transact(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """All of them or none. Raises WriteConflict when nothing was written and it is worth another try."""
        if not actions:
            return
        request: Any = {"TransactItems": actions, "ClientRequestToken": str(uuid4())}
        for number in range(UNKNOWN_TRIES_MAX):
            try:
                self.client.transact_write_items(**request)
                return
            except self.client.exceptions.TransactionCanceledException as error:
                raise self._cancelled(error) from error
            except ClientError as error:
                if _code(error) not in UNKNOWN:
                    raise self._error(error, "cannot be written") from error
                unknown: Exception = error
            except (NoCredentialsError, PartialCredentialsError) as error:
                raise self._error(error, "cannot be written") from error
            except BotoCoreError as error:
                unknown = error
            _pause(number)  # sent again under its token, it is applied once
        raise StoreUnreachable(
            f"the table {self.table} did not confirm a transaction, which may be recorded: {unknown}"
        ) from unknown

    def update(
        self, key: Key, *, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> bool:
        """One item, outside of transactions. False where the condition does not hold, or another one is in the way."""
        try:
            with self.errors("cannot be written"):
                self.client.update_item(
                    TableName=self.table,
                    Key=_key(key),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                )
        except WriteConflict:
            return False
        return True

    def count_up(self, key: Key) -> int:
        """A number that nobody else ever gets."""
        with self.errors("cannot be written"):
            answer = self.client.update_item(
                TableName=self.table,
                Key=_key(key),
                UpdateExpression="ADD #n :one",
                ExpressionAttributeNames={"#n": "number"},
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )
        return int(answer["Attributes"]["number"]["N"])

    def delete_many(self, keys: Sequence[Key]) -> None:
        for first in range(0, len(keys), DELETE_KEYS_MAX):
            some = keys[first : first + DELETE_KEYS_MAX]
            wanted: Any = [{"DeleteRequest": {"Key": _key(key)}} for key in some]
            for left_tries in reversed(range(LEFT_OVER_TRIES_MAX)):
                with self.errors("cannot be written"):
                    answer = self.client.batch_write_item(RequestItems={self.table: wanted})
                wanted = answer.get("UnprocessedItems", {}).get(self.table)
                if not wanted:
                    break
                if not left_tries:
                    raise StoreUnavailable(f"the table {self.table} is written faster than it can be: try again")
                _pause(LEFT_OVER_TRIES_MAX - left_tries)

    @contextlib.contextmanager
    def errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self._error(error, what) from error

    def _cancelled(self, error: ClientError) -> Exception:
        reasons: Any = error.response.get("CancellationReasons", [])
        codes = {reason.get("Code", "None") for reason in reasons} - {"None"}
        if codes & REFUSALS:
            told = "; ".join(str(reason.get("Message")) for reason in reasons if reason.get("Code") in REFUSALS)
            return InvalidWork(f"the table {self.table} cannot hold this: {told}")
        if codes and codes <= COLLISIONS | THROTTLES:
            return WriteConflict(f"the table {self.table} could not record this: {', '.join(sorted(codes))}")
        return StoreUnavailable(f"the table {self.table} cannot be written: {error}")

    def _error(self, error: ClientError | BotoCoreError, what: str) -> Exception:
        about = f"the table {self.table} {what}"
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return Forbidden(
                f"{about}: {error}. Give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role"
            )
        if not isinstance(error, ClientError):
            return StoreUnreachable(f"{about}: {error}")
        code = _code(error)
        if code in COLLIDED or code in THROTTLES:
            return WriteConflict(f"{about}: {code}")
        if code == "ResourceNotFoundException":
            return Forbidden(f"{about}: it is not there. {MAKE_IT}")
        if code in NO_ACCESS:
            return Forbidden(f"{about}: {error}. Look at the credentials, and what they may do")
        if code in REFUSALS:
            return InvalidWork(f"{about}: {error}")
        return StoreUnavailable(f"{about}: {error}")


def again_on_conflict(attempt: Callable[[], T]) -> T:
    """Runs it anew, after a pause of random length, while others are in its way; of two that meet one goes on."""
    pause_max = CONFLICT_PAUSE_SECONDS_MIN
    give_up_at = time.monotonic() + CONFLICT_SECONDS_MAX
    for _ in range(CONFLICT_TRIES_MAX - 1):
        try:
            return attempt()
        except WriteConflict:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(random.uniform(0, pause_max))
            pause_max = min(pause_max * 2, CONFLICT_PAUSE_SECONDS_MAX)
    return attempt()


def _pause(number: int) -> None:
    time.sleep(random.uniform(0, min(0.05 * 2**number, PAUSE_SECONDS_MAX)))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _key(key: Key) -> dict[str, dict[str, str]]:
    return {HASH_KEY: _text(key[0]), RANGE_KEY: _text(key[1])}


def _text(value: str) -> dict[str, str]:
    return {"S": value}
