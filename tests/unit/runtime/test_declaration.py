"""Declarations that cannot work are refused when they are made, not when a job hangs in them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reelwork.errors import ConfigurationError
from reelwork.ledger import CompletionPolicy
from reelwork.runtime import Catalogue, Phase, Pipeline, Service
from tests.house import (
    ENDS,
    ITEMS,
    PLANS,
    STAGE,
    ItemsBatch,
    ItemsCompleted,
    ItemsReady,
    Next,
    NoParameters,
    Submitted,
    ends_service,
    pipeline_of,
    plain_service,
    stage_service,
)


def nothing(event: Any, context: Any) -> None: ...


def something(event: Any, context: Any) -> None: ...


def named(name: str, *services: Service) -> Pipeline:
    phases = (Phase(name="work", stages=None),)
    return Pipeline(name=name, parameters=NoParameters, submitted=Submitted, phases=phases, services=services)


class OtherItemsBatch(ItemsBatch):
    topic = "tiny.other.items.batch"


class OtherItemsReady(ItemsReady):
    topic = "tiny.other.items.ready"


class TestBindings:
    def test_a_stage_brings_a_queue_for_its_announcements(self) -> None:
        catalogue = Catalogue.of([pipeline_of(plain_service(nothing), stage_service(nothing), ends_service(nothing))])
        assert sorted(catalogue.bindings()) == sorted(
            [
                ("tiny.submitted", PLANS),
                ("tiny.items.ready", ITEMS),
                ("tiny.items.batch", f"{ITEMS}.batch"),
                ("tiny.items.completed", ENDS),
            ]
        )
        assert sorted(catalogue.bindings_feeding(STAGE)) == [
            ("tiny.items.batch", f"{ITEMS}.batch"),
            ("tiny.items.ready", ITEMS),
        ]
        assert catalogue.services() == ["ends", "items", "plans"]

    def test_a_stage_completes_by_its_own_policy_on_its_own_topic(self) -> None:
        policy = CompletionPolicy(Decimal(5), 7)
        rule = Catalogue.of([pipeline_of(stage_service(nothing, policy=policy))]).stage_rules[STAGE]
        assert (rule.policy, rule.topic) == (policy, "tiny.items.completed")

    def test_pipelines_may_share_a_service(self) -> None:
        shared = stage_service(nothing)
        catalogue = Catalogue.of([named("one", shared), named("two", shared)])
        assert sorted(catalogue.bindings()) == [("tiny.items.batch", f"{ITEMS}.batch"), ("tiny.items.ready", ITEMS)]

    def test_one_queue_for_each_event_of_a_handler(self) -> None:
        service = Service("items")
        service.on(Submitted, queue="q.one")(nothing)
        service.on(Next, queue="q.two")(nothing)
        assert [(s.event_type, s.queue) for s in service.subscriptions] == [(Submitted, "q.one"), (Next, "q.two")]

    def test_a_stage_may_have_handlers_with_announcements_of_their_own(self) -> None:
        service = Service("items")
        service.on(ItemsReady, queue=ITEMS)(nothing)
        service.stage(STAGE, announced_by=ItemsBatch, completes_with=ItemsCompleted)(nothing)
        service.on(OtherItemsReady, queue="q.tiny.others")(something)
        service.stage(STAGE, announced_by=OtherItemsBatch, completes_with=ItemsCompleted)(something)
        assert sorted(Catalogue.of([pipeline_of(service)]).bindings_feeding(STAGE)) == [
            ("tiny.items.batch", f"{ITEMS}.batch"),
            ("tiny.items.ready", ITEMS),
            ("tiny.other.items.batch", "q.tiny.others.batch"),
            ("tiny.other.items.ready", "q.tiny.others"),
        ]


class TestRefused:
    def test_a_stage_without_a_handler_of_asset_events(self) -> None:
        service = Service("items")
        attach = service.stage(STAGE, announced_by=ItemsBatch, completes_with=ItemsCompleted)
        with pytest.raises(ConfigurationError, match=r"tiny\.items needs a handler"):
            attach(nothing)
        service.on(Submitted, queue=PLANS)(nothing)
        with pytest.raises(ConfigurationError, match="asset event"):
            attach(nothing)
        assert [s.stage for s in service.subscriptions] == [None]

    def test_a_stage_declared_in_two_ways(self) -> None:
        other = Service("others")
        other.on(ItemsReady, queue="q.others")(something)
        other.stage(
            STAGE, announced_by=ItemsBatch, completes_with=ItemsCompleted, policy=CompletionPolicy(Decimal(1), None)
        )(something)
        with pytest.raises(ConfigurationError, match=r"declare stage tiny\.items in different ways"):
            Catalogue.of([pipeline_of(stage_service(nothing), other)])

    def test_a_stage_whose_completion_would_have_the_id_of_another_event(self) -> None:
        service = Service("items")
        service.on(ItemsReady, queue=ITEMS)(nothing)
        service.stage(Submitted.topic, announced_by=ItemsBatch, completes_with=ItemsCompleted)(nothing)
        with pytest.raises(ConfigurationError, match="rename either"):
            Catalogue.of([pipeline_of(plain_service(nothing), service)])

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(lambda service: service.on(Submitted, queue=PLANS)(something), id="another handler"),
            pytest.param(lambda service: service.on(Next, queue=PLANS)(nothing), id="another event"),
        ],
    )
    def test_a_queue_with_two_meanings(self, other: Any) -> None:
        service = Service("plans")
        other(service)
        with pytest.raises(ConfigurationError, match=r"q\.tiny\.plans is declared twice"):
            Catalogue.of([pipeline_of(plain_service(nothing), service)])

    def test_a_handler_of_no_stage_that_makes_jobs(self) -> None:
        service = Service("tiny")
        service.on(Submitted, queue=PLANS, makes_job=something)(nothing)
        with pytest.raises(ConfigurationError, match=r"q\.tiny\.plans makes jobs"):
            Catalogue.of([named("one", service)])

    def test_two_pipelines_of_one_name(self) -> None:
        with pytest.raises(ConfigurationError, match="two pipelines are called one"):
            Catalogue.of([named("one"), named("one")])

    @pytest.mark.parametrize(
        "phases",
        [
            pytest.param((), id="none: a job could not start"),
            pytest.param(
                (Phase(name="a", stages=()), Phase(name="a", stages=None)), id="twins: it would go in circles"
            ),
            pytest.param((Phase(name="a", stages=("nowhere",)),), id="unknown stage: it would wait for ever"),
        ],
    )
    def test_phases_that_a_job_cannot_pass(self, phases: tuple[Phase, ...]) -> None:
        with pytest.raises(ConfigurationError):
            Catalogue.of([pipeline_of(stage_service(nothing), phases=phases)])

    def test_an_unknown_pipeline_names_the_installed_ones(self) -> None:
        with pytest.raises(ConfigurationError, match="installed: one, two"):
            Catalogue.of([named("two"), named("one")]).pipeline("three")
