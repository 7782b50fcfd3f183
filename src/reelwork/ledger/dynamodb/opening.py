"""Opens a ledger on DynamoDB by its URL."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from reelwork.errors import ConfigurationError, StoreUnreachable
from reelwork.ledger.base import Clock
from reelwork.ledger.dynamodb.address import Address, parse_address
from reelwork.ledger.dynamodb.ledger import DynamoLedger
from reelwork.ledger.dynamodb.store import MAKE_IT, Forbidden, Store
from reelwork.ledger.dynamodb.tables import completions_table, create_tables, ledger_table, missing_tables

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 20
REQUEST_TRIES_MAX: Final = 4
CONNECTIONS_MAX: Final = 32
_opening: Final = threading.Lock()


def open_dynamodb(url: str, *, clock: Clock = time.time) -> DynamoLedger:
    """Raises ConfigurationError for an address, credentials or tables that are not there, StoreUnavailable for a server
    that does not answer.
    """
    address = parse_address(url)
    client = connect(address)
    try:
        _demand_tables(client, address)
    except BaseException:
        client.close()
        raise
    return DynamoLedger(client, address, clock=clock)


@cache
def _session() -> boto3.session.Session:
    """It reads what it knows of AWS but once, which takes longer than a request."""
    return boto3.session.Session()


def connect(address: Address) -> DynamoDBClient:
    config = Config(
        retries={"mode": "standard", "total_max_attempts": REQUEST_TRIES_MAX},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS_MAX,
    )
    try:
        with _opening:  # a session is not for two threads at once; its clients are
            return _session().client(
                "dynamodb", region_name=address.region, endpoint_url=address.endpoint, config=config
            )
    except NoRegionError:
        raise ConfigurationError("DynamoDB needs a region: dynamodb://PREFIX?region=..., or AWS_REGION") from None
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"{address.url} cannot be used: {error}") from error


def tables_to_be_made(url: str) -> list[str]:
    """Those of a ledger that are missing and that its URL allows to be made; nothing is made by asking.

    Raises as `open_dynamodb`.
    """
    address = parse_address(url)
    client = connect(address)
    try:
        return _missing(client, address)
    finally:
        client.close()


def _demand_tables(client: DynamoDBClient, address: Address) -> None:
    missing = _missing(client, address)
    if not missing:
        return
    try:
        create_tables(client, [ledger_table(address.ledger_table), completions_table(address.completions_table)])
    except ClientError as error:
        raise ConfigurationError(f"cannot make the tables {', '.join(missing)}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnreachable(f"cannot make the tables {', '.join(missing)}: {error}") from error


def _missing(client: DynamoDBClient, address: Address) -> list[str]:
    """Raises ConfigurationError where they may not be made."""
    try:
        with Store(client, address.ledger_table).errors("cannot be found"):
            missing = missing_tables(client, [address.ledger_table, address.completions_table])
    except Forbidden as error:
        raise ConfigurationError(str(error)) from error
    if missing and not address.may_create:
        raise ConfigurationError(
            f"DynamoDB in {client.meta.region_name} has no table {' and no '.join(missing)}. {MAKE_IT}"
        )
    return missing
