"""The database under the ledger and the SQL broker: short write transactions, cheap reads, wake-ups."""

from reelwork.database.base import EVERYBODY, Connection, Database, Listener, Result, StatementRefused
from reelwork.database.open import embedded_path, is_dynamodb, open_database, shown_url
from reelwork.database.statements import Statements

__all__ = [
    "EVERYBODY",
    "Connection",
    "Database",
    "Listener",
    "Result",
    "StatementRefused",
    "Statements",
    "embedded_path",
    "is_dynamodb",
    "open_database",
    "shown_url",
]
