"""What the ledger promises, checked on what it tells after every step, without any model of how it got there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from reelwork.ledger import AssetRecord, AssetState, JobStatus, StageStatus
from tests.conformance.ledger.account import Account
from tests.conformance.ledger.model import Terms


class Promises:
    """Remembers what was there; `check` fails when something is gone, was changed, or is not as promised."""

    def __init__(self, terms: dict[str, Terms]) -> None:
        self._terms = terms
        self._seen: dict[str, dict[Any, Any]] = {}
        self._payloads: dict[tuple[str, str], dict[str, Any]] = {}
        self._fired_when_cancelled: dict[str, set[str]] = {}

    def check(self, account: Account) -> None:
        self._nothing_disappears(account)
        for stage in account.stages:
            self._counters_equal_the_assets(stage, account.assets[stage.stage])
            self._never_missing_once_due(stage)
        self._completions(account)
        self._nothing_fires_once_cancelled(account)

    def nothing_waits(self, account: Account, *, now_ms: int) -> None:
        """After a sweep: no watermark has passed without its completion."""
        for stage in account.stages:
            if stage.completed_at is None and stage.closed_at is None and self._terms[stage.stage].allow_partial:
                assert stage.watermark_at is None or stage.watermark_at > now_ms, stage

    def _nothing_disappears(self, account: Account) -> None:
        now: dict[Any, Any] = {("sent", row.sequence): (row.event_id, row.body) for row in account.outbox}
        now |= {("letter", letter.dead_letter_id): letter.body for letter in account.letters}
        now |= {("conflict", number): conflict for number, conflict in enumerate(account.conflicts)}
        for stage, assets in account.assets.items():
            now |= {("asset", stage, asset.asset_id): asset.state is AssetState.DONE for asset in assets}
        for key, value in self._seen.get(account.job_id, {}).items():
            assert key in now, f"{key} is gone"
            assert now[key] == value or (key[0] == "asset" and now[key]), f"{key} was {value} and is {now[key]}"
        self._seen[account.job_id] = now

    @staticmethod
    def _counters_equal_the_assets(stage: StageStatus, assets: Sequence[AssetRecord]) -> None:
        assert stage.done == sum(asset.state is AssetState.DONE for asset in assets)
        assert stage.failed == sum(asset.state is AssetState.FAILED for asset in assets)
        assert stage.late == sum(asset.late for asset in assets)
        assert stage.done_weight == sum(asset.weight for asset in assets if asset.state is AssetState.DONE)

    def _never_missing_once_due(self, stage: StageStatus) -> None:
        if stage.completed_at is not None or stage.closed_at is not None or stage.expected is None:
            return
        terms = self._terms[stage.stage]
        assert stage.done < stage.expected, f"{stage} has all and did not fire"
        if terms.allow_partial:
            assert stage.done + stage.failed < stage.expected, f"{stage} is settled and did not fire"
            assert Fraction(stage.done * 100, stage.expected) < terms.percent, f"{stage} passed and did not fire"

    def _completions(self, account: Account) -> None:
        sent = [row for row in account.outbox if row.topic.endswith(".completed") and not row.is_replay]
        assert len(sent) == len({row.topic for row in sent}), "two completions of one stage"
        by_topic = {row.topic: row for row in sent}
        completed = [stage for stage in account.stages if stage.completed_at is not None]
        assert by_topic.keys() == {f"{stage.stage}.completed" for stage in completed}
        for stage in completed:
            row = by_topic[f"{stage.stage}.completed"]
            payload = json.loads(row.body)
            event_id = str(uuid5(NAMESPACE_URL, f"reelwork:{account.job_id}/{stage.stage}"))
            assert row.event_id == payload["event_id"] == event_id
            assert stage.completion is not None
            first = self._payloads.setdefault((account.job_id, stage.stage), payload)
            assert payload == stage.completion.payload() == first
            self._never_early(self._terms[stage.stage], payload)

    @staticmethod
    def _never_early(terms: Terms, payload: dict[str, Any]) -> None:
        total, done, failed = payload["total_assets"], payload["processed_assets"], payload["failed_assets"]
        holds = {
            "all": done >= total,
            "settled": terms.allow_partial and done < total <= done + failed,
            "threshold": terms.allow_partial and Fraction(done) >= total * terms.percent / 100,
            "watermark": terms.allow_partial and terms.ttl_ms is not None,
        }
        assert holds[payload["reason"]], payload
        assert payload["has_partial_completion"] or done >= total, payload

    def _nothing_fires_once_cancelled(self, account: Account) -> None:
        if account.status is JobStatus.CANCELLED:
            fired = {stage.stage for stage in account.stages if stage.completed_at is not None}
            assert self._fired_when_cancelled.setdefault(account.job_id, fired) == fired
            assert all(stage.completed_at is not None or stage.closed_at is not None for stage in account.stages)
