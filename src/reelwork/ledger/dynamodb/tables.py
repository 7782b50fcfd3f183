"""The tables of the ledger on DynamoDB, in one place: `infra/` must make the same, and a laptop lets these be made.

One table holds the ledger, one the records of converted segments, which others read by their own keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

HASH_KEY: Final = "pk"
RANGE_KEY: Final = "sk"
COMPLETIONS_KEY: Final = ("job_id", "segment_index")
TTL_ATTRIBUTE: Final = "expires_at"
"""Epoch seconds, in both tables: what may age out does so by itself."""
INDEXES: Final[Mapping[str, tuple[str, str]]] = {
    "listing": ("listing", "listing_key"),
    "agenda": ("agenda", "agenda_key"),
}
"""Global, sparse, keys only; each by its hash and its range key. What is found there is read from the table.

listing: what there is (jobs by birth, open stages, dead letters). agenda: what is to be done (due watermarks, events to
be published or looked after, jobs alive or to be swept).
"""
TABLES_REVISION: Final = "dynamodb-1"
CREATE_TRIES_MAX: Final = 60
CREATE_PAUSE_SECONDS: Final = 1


def ledger_table_name(prefix: str) -> str:
    return f"{prefix}-ledger"


def completions_table_name(prefix: str) -> str:
    """Where SEGMENT_COMPLETIONS_TABLE_NAME names no other."""
    return f"{prefix}-segment-completions"


def ledger_table(name: str) -> dict[str, Any]:
    """As CreateTable takes it; every key is text."""
    keys = [HASH_KEY, RANGE_KEY, *(key for pair in INDEXES.values() for key in pair)]
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": _key_schema(HASH_KEY, RANGE_KEY),
        "GlobalSecondaryIndexes": [
            {"IndexName": index, "KeySchema": _key_schema(*pair), "Projection": {"ProjectionType": "KEYS_ONLY"}}
            for index, pair in INDEXES.items()
        ],
    }


def completions_table(name: str) -> dict[str, Any]:
    """As CreateTable takes it."""
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "job_id", "AttributeType": "S"},
            {"AttributeName": "segment_index", "AttributeType": "N"},
        ],
        "KeySchema": _key_schema(*COMPLETIONS_KEY),
    }


def create_tables(client: DynamoDBClient, definitions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Makes those that are not there, each with its TTL, and waits until they can be used; the names of those made."""
    made = []
    for definition in definitions:
        try:
            client.create_table(**definition)
            made.append(definition["TableName"])
        except client.exceptions.ResourceInUseException:
            continue  # it is there, or another process makes it just now
    waiting: Any = {"Delay": CREATE_PAUSE_SECONDS, "MaxAttempts": CREATE_TRIES_MAX}
    for definition in definitions:
        client.get_waiter("table_exists").wait(TableName=definition["TableName"], WaiterConfig=waiting)
    for name in made:
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
        )
    return made


def missing_tables(client: DynamoDBClient, names: Sequence[str]) -> list[str]:
    """Those that cannot be used yet."""
    missing = []
    for name in names:
        try:
            status = client.describe_table(TableName=name)["Table"].get("TableStatus")
        except client.exceptions.ResourceNotFoundException:
            status = None
        if status not in ("ACTIVE", "UPDATING"):
            missing.append(name)
    return missing


def _key_schema(hash_key: str, range_key: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": hash_key, "KeyType": "HASH"},
        {"AttributeName": range_key, "KeyType": "RANGE"},
    ]
