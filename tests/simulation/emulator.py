"""DynamoDB in this very process: moto's own code behind a client of boto3, and no server in between.

A request is a call, so it takes no time of its own, and everything it does is a function of what was asked before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from botocore import xform_name

from reelwork.ledger.dynamodb.items import Key
from reelwork.ledger.dynamodb.tables import HASH_KEY, RANGE_KEY
from tests.atomic_dynamodb import empty_tables, make_transactions_atomic

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

ACCOUNT: Final = "123456789012"
KEPT: Final = "parameters for the emulator"
CONDITION_FAILED: Final = "ConditionalCheckFailed"
Answer = tuple[SimpleNamespace, dict[str, Any]]
Serve = Callable[[], Answer]

make_atomic_once: Final = cache(make_transactions_atomic)


class Emulator:
    """Serves one client. tamper: sees every request, and may answer in its stead, or lose its answer. written: the keys
    of what was written into `table` since somebody has emptied this. collisions: transactions that found something
    written by somebody else.
    """

    def __init__(self, client: DynamoDBClient, *, table: str) -> None:
        make_atomic_once()
        self.tamper: Callable[[str, Serve], Answer] = lambda _, serve: serve()
        self.written: dict[Key, None] = {}
        self.collisions = 0
        self._table = table
        self._region = client.meta.region_name
        client.meta.events.register("before-parameter-build.dynamodb", self._keep)
        client.meta.events.register("before-call.dynamodb", self._answer)

    def empty(self) -> None:
        empty_tables([self._table])
        self.written.clear()
        self.collisions = 0

    def _keep(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        """As the caller gave them: what is sent over a wire is of no use here."""
        context[KEPT] = params

    def _answer(self, model: Any, context: dict[str, Any], **_: Any) -> Answer:
        operation, parameters = model.name, context.pop(KEPT)
        return self.tamper(operation, lambda: self._serve(operation, parameters))

    def _serve(self, operation: str, parameters: dict[str, Any]) -> Answer:
        from moto.core.exceptions import JsonRESTError
        from moto.dynamodb.responses import DynamoHandler

        handler: Any = DynamoHandler()
        handler.body, handler.region, handler.current_account = parameters, self._region, ACCOUNT
        try:
            result = getattr(handler, xform_name(operation))().result
        except JsonRESTError as error:
            told = json.loads(str(error.description))
            reasons = told.get("CancellationReasons", [])
            self.collisions += any(reason["Code"] == CONDITION_FAILED for reason in reasons)
            return refusal(error.relative_error_type, reasons=reasons)
        self.written |= dict.fromkeys(_keys_written(operation, parameters, self._table))
        return SimpleNamespace(status_code=200), result


def refusal(code: str, *, reasons: list[dict[str, Any]] | None = None) -> Answer:
    """As a client reads it. reasons: why a transaction was cancelled."""
    status = 500 if code == "InternalServerError" else 400
    error = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return SimpleNamespace(status_code=status), error | ({"CancellationReasons": reasons} if reasons else {})


def _keys_written(operation: str, parameters: Mapping[str, Any], table: str) -> Iterator[Key]:
    for told in _writes(operation, parameters):
        if told["TableName"] == table:
            key = told.get("Item") or told["Key"]
            yield key[HASH_KEY]["S"], key[RANGE_KEY]["S"]


def _writes(operation: str, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Each with its table, and its item or its key."""
    if operation in ("PutItem", "UpdateItem", "DeleteItem"):
        yield parameters
    elif operation == "TransactWriteItems":
        for action in parameters["TransactItems"]:
            yield from (told for kind, told in action.items() if kind != "ConditionCheck")
    elif operation == "BatchWriteItem":
        for table, requests in parameters["RequestItems"].items():
            yield from ({"TableName": table, **told} for request in requests for told in request.values())
