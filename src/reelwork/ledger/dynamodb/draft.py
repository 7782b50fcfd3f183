"""What one transaction has read and will write: every item it writes must still be as it was read.

So nothing that somebody else wrote meanwhile is lost, whatever was decided from what was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from reelwork.errors import InvalidWork, WriteConflict
from reelwork.ledger.dynamodb.items import ITEM_BYTES_MAX, Item, Key, Value, encode, size_of
from reelwork.ledger.dynamodb.store import ACTIONS_MAX, TRANSACTION_BYTES_MAX, Store
from reelwork.ledger.dynamodb.tables import HASH_KEY, RANGE_KEY

VERSION: Final = "version"


class Draft:
    """For one attempt; not thread-safe."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._found: dict[Key, Item | None] = {}
        self._written: dict[Key, Mapping[str, Value | None]] = {}
        self._checked: set[Key] = set()
        self._elsewhere: dict[tuple[object, ...], dict[str, Any]] = {}

    def read(self, keys: Iterable[Key]) -> None:
        """Reads those that were not read yet, together."""
        unread = [key for key in dict.fromkeys(keys) if key not in self._found]
        found = self.store.get_many(unread) if unread else {}
        self._found |= {key: found.get(key) for key in unread}

    def take(self, item: Item) -> Key:
        """Takes in what a consistent query has found, unless it was read before."""
        key = key_of(item)
        self._found.setdefault(key, item)
        return key

    def get(self, key: Key) -> Item | None:
        """As it will be."""
        if key in self._written:
            return {name: value for name, value in self._written[key].items() if value is not None}
        if key not in self._found:
            self.read([key])
        return self._found[key]

    def is_read(self, key: Key) -> bool:
        return key in self._found or key in self._written

    def is_written(self, key: Key) -> bool:
        return key in self._written

    def put(self, key: Key, item: Mapping[str, Value | None]) -> None:
        """The whole item; one that was not read before must not be there."""
        self._written[key] = item

    def change(self, key: Key, **values: Value | None) -> None:
        """These attributes of an item that is there; None takes one away."""
        self.put(key, {**(self.get(key) or {}), **values})

    def check(self, key: Key) -> None:
        """It must still be as it was read, also where it is not written."""
        self._checked.add(key)

    def put_elsewhere(self, table: str, item: Mapping[str, Value | None], *, key: Sequence[str]) -> None:
        """Into another table, whatever is there. key: the names of its keys."""
        place = (table, *(item[name] for name in key))
        self._elsewhere[place] = {"Put": {"TableName": table, "Item": encode(item)}}

    def write(self) -> None:
        """Raises WriteConflict when something is not as it was read; InvalidWork for what is too large."""
        if not self._written and not self._elsewhere:
            return
        puts = [self._put(key, item) for key, item in self._written.items()]
        checks = [self._check(key) for key in sorted(self._checked - self._written.keys())]
        actions = [*puts, *checks, *self._elsewhere.values()]
        if len(actions) > ACTIONS_MAX:
            raise InvalidWork(
                f"a work touches {len(actions)} items, and DynamoDB takes {ACTIONS_MAX} in one transaction; split it"
            )
        size = sum(size_of(item) for item in self._written.values())
        if size > TRANSACTION_BYTES_MAX:
            raise InvalidWork(
                f"a work writes {size} bytes, and DynamoDB takes {TRANSACTION_BYTES_MAX} in one transaction; split it"
            )
        self.store.transact(actions)

    def _put(self, key: Key, item: Mapping[str, Value | None]) -> dict[str, Any]:
        before = self._found.get(key)
        version = 1 if before is None else int(before[VERSION]) + 1
        whole = {**item, HASH_KEY: key[0], RANGE_KEY: key[1], VERSION: version}
        size = size_of(whole)
        if size > ITEM_BYTES_MAX:
            raise InvalidWork(
                f"{key[0]:.100} would have {size} bytes, and an item of DynamoDB {ITEM_BYTES_MAX} at most; "
                "put what is large into the object store and record its key"
            )
        return {"Put": {"TableName": self.store.table, "Item": encode(whole), **self._as_read(key)}}

    def _check(self, key: Key) -> dict[str, Any]:
        where = {HASH_KEY: {"S": key[0]}, RANGE_KEY: {"S": key[1]}}
        return {"ConditionCheck": {"TableName": self.store.table, "Key": where, **self._as_read(key)}}

    def _as_read(self, key: Key) -> dict[str, Any]:
        before = self._found.get(key)
        if before is None:
            return {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": HASH_KEY}}
        return {
            "ConditionExpression": "#v = :v",
            "ExpressionAttributeNames": {"#v": VERSION},
            "ExpressionAttributeValues": {":v": {"N": str(before[VERSION])}},
        }


def put_back(store: Store, item: Item, news: Mapping[str, Value | None]) -> None:
    """Changes one item, outside of transactions. Raises WriteConflict if it is not as it was read."""
    if not change_item(store, item, news, and_version=True):
        raise WriteConflict(f"{item[HASH_KEY]!s} was written by somebody else")


def change_item(store: Store, item: Item, news: Mapping[str, Value | None], *, and_version: bool) -> bool:
    """The same; False if it is not as it was read. Without a new version, who writes the item at the same time takes
    the change back: for an entry of an index that is allowed to be wrong.
    """
    version = int(item[VERSION])
    written = {**news, **({VERSION: version + 1} if and_version else {})}
    names = {f"#{number}": name for number, name in enumerate(written)}
    values = encode({f":{number}": value for number, value in enumerate(written.values())})
    sets = [f"#{number} = :{number}" for number, value in enumerate(written.values()) if value is not None]
    removes = [f"#{number}" for number, value in enumerate(written.values()) if value is None]
    update = (f"SET {', '.join(sets)} " if sets else "") + (f"REMOVE {', '.join(removes)}" if removes else "")
    return store.update(
        key_of(item),
        update=update.strip(),
        condition="#v = :v",
        names=names | {"#v": VERSION},
        values=values | encode({":v": version}),
    )


def whole_items(store: Store, pages: Iterable[Sequence[Item]]) -> Iterator[Item]:
    """What an index has found, as it is in the table, page by page."""
    for page in pages:
        wanted = list(map(key_of, page))
        found = store.get_many(wanted)
        yield from (found[key] for key in wanted if key in found)


def key_of(item: Item) -> Key:
    return str(item[HASH_KEY]), str(item[RANGE_KEY])
