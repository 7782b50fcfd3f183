"""moto's DynamoDB with transactions that are atomic, as those of AWS are, and with client request tokens.

moto itself checks and writes one item after another while other threads do the same, and for each transaction copies
the whole table to be able to put it back. Here one request is served at a time, all conditions are checked before
anything is written, and a transaction that comes again under its token is answered as it was.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

TOKENS_MAX: Final = 10_000
ITEM_BYTES_MAX: Final = 400 * 1024
TARGET: Final = "HTTP_X_AMZ_TARGET"
_LOCK: Final = threading.Lock()


def one_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The same application, whose requests to DynamoDB wait for each other; others, which may wait long, do not."""

    def locked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not environ.get(TARGET, "").startswith("DynamoDB_"):
            return app(environ, start_response)
        with _LOCK:
            return list(app(environ, start_response))

    return locked


def empty_tables(names: list[str]) -> None:
    from moto.dynamodb.models import dynamodb_backends

    with _LOCK:
        for backends in dynamodb_backends.values():
            for backend in backends.values():
                for name in names:
                    if name in backend.tables:
                        backend.tables[name].items.clear()


def make_transactions_atomic() -> None:
    from moto.dynamodb.models import DynamoDBBackend
    from moto.dynamodb.responses import DynamoHandler

    answered: OrderedDict[str, None] = OrderedDict()
    handle = DynamoHandler.transact_write_items

    def transact_once(self: Any) -> Any:
        token = self.body.get("ClientRequestToken")
        if token in answered:
            return _answer()
        answer = handle(self)
        if token:
            answered[token] = None
            while len(answered) > TOKENS_MAX:
                answered.popitem(last=False)
        return answer

    def _answer() -> Any:
        from moto.core.responses import ActionResult

        return ActionResult({"ConsumedCapacity": [], "ItemCollectionMetrics": {}})

    DynamoHandler.transact_write_items = transact_once
    DynamoDBBackend.transact_write_items = _transact


def _transact(backend: Any, actions: list[dict[str, Any]]) -> None:
    from moto.dynamodb.comparisons import get_filter_expression
    from moto.dynamodb.exceptions import (
        ConditionalCheckFailed,
        MultipleTransactionsException,
        TooManyTransactionsException,
        TransactionCanceledException,
    )

    if len(actions) > 100:
        raise TooManyTransactionsException
    told = [next(iter(action.items())) for action in actions]
    places = [(action["TableName"], _key_of(backend, kind, action)) for kind, action in told]
    if len({(table, str(sorted(key.items()))) for table, key in places}) < len(places):
        raise MultipleTransactionsException
    errors: list[tuple[Any, Any, Any]] = []
    before = []
    for (kind, action), (table, key) in zip(told, places, strict=True):
        current = backend.get_item(table, key)
        before.append(None if current is None else current.to_json()["Attributes"])
        condition = action.get("ConditionExpression")
        holds = condition is None or get_filter_expression(
            condition, action.get("ExpressionAttributeNames"), action.get("ExpressionAttributeValues")
        ).expr(current)
        is_too_large = kind == "Put" and len(str(action["Item"])) > 2 * ITEM_BYTES_MAX
        if not holds:
            errors.append(("ConditionalCheckFailed", ConditionalCheckFailed().message, None))
        elif is_too_large:
            errors.append(("ValidationError", "Item size has exceeded the maximum allowed size", None))
        else:
            errors.append((None, None, None))
    if any(code for code, _, _ in errors):
        raise TransactionCanceledException(errors)
    for number, ((kind, action), (table, key)) in enumerate(zip(told, places, strict=True)):
        try:
            _apply(backend, kind, action, table, key)
        except Exception:
            for (earlier_table, earlier_key), item in zip(places[:number], before, strict=False):
                if item is None:
                    backend.delete_item(earlier_table, earlier_key)
                else:
                    backend.put_item(earlier_table, item)
            raise


def _apply(backend: Any, kind: str, action: dict[str, Any], table: str, key: dict[str, Any]) -> None:
    if kind == "Put":
        backend.put_item(table, action["Item"])
    elif kind == "Delete":
        backend.delete_item(table, key)
    elif kind == "Update":
        backend.update_item(
            table,
            key,
            update_expression=action["UpdateExpression"],
            expression_attribute_names=action.get("ExpressionAttributeNames"),
            expression_attribute_values=action.get("ExpressionAttributeValues"),
        )


def _key_of(backend: Any, kind: str, action: dict[str, Any]) -> dict[str, Any]:
    if kind != "Put":
        return dict(action["Key"])
    table = backend.get_table(action["TableName"])
    names = [name for name in (table.hash_key_attr, table.range_key_attr) if name is not None]
    return {name: action["Item"][name] for name in names}
