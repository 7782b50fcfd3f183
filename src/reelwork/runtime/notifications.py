"""Events that a bucket tells of by itself: the relay leaves the first word to it, and sends only what it has not told.

The bucket gives its word an id of its own, so what came of it is known by the assets, not by the id of our event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reelwork.errors import ContractViolation
from reelwork.events import AssetEvent, validated
from reelwork.ledger import Ledger
from reelwork.ledger.records import OutboxRow
from reelwork.runtime.declaration import Catalogue, Subscription
from reelwork.runtime.outcome import is_resolved


class Notifications:
    """Blocking."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue) -> None:
        self._ledger = ledger
        self._by_topic: Mapping[str, Subscription] = {
            subscription.event_type.topic: subscription
            for subscription in catalogue.subscriptions
            if issubclass(subscription.event_type, AssetEvent)
            and subscription.event_type.is_told_by_bucket
            and subscription.stage is not None
        }

    def leaves(self, row: OutboxRow) -> bool:
        """Whether the first word is the bucket's. A replay is always ours."""
        return row.topic in self._by_topic and row.publications == 0 and row.queue is None

    def unheard(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Without those of the bucket whose assets all have an outcome."""
        heard: set[int] = set()
        for row in rows:
            if row.queue is None and row.topic in self._by_topic and self._is_settled(row, self._by_topic[row.topic]):
                heard.add(row.sequence)
        return [row for row in rows if row.sequence not in heard]

    def _is_settled(self, row: OutboxRow, subscription: Subscription) -> bool:
        try:
            event = validated(subscription.event_type, row.body)
        except ContractViolation:
            return False
        assert isinstance(event, AssetEvent)
        assert subscription.stage is not None
        asset_ids = [asset.asset_id for asset in event.assets()]
        known = self._ledger.known_assets(event.job_id, subscription.stage.name, asset_ids)
        return all(is_resolved(known.get(asset_id), is_replay=False) for asset_id in asset_ids)
