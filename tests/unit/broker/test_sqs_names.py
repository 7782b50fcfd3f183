"""Every queue of Reelwork has a name in SQS, and no two have the same."""

from __future__ import annotations

import json
import re

import pytest

from reelwork.broker.sqs.names import Names, dead_attributes, queue_attributes
from reelwork.errors import ConfigurationError
from reelwork.runtime.registry import load_catalogue

DEAD_ARN = "arn:aws:sqs:eu-central-1:123456789012:reelwork-q-x-dlq"


def test_dots_become_hyphens() -> None:
    assert Names().queue("q.vision_embedding.keyframes.batch") == "reelwork-q-vision_embedding-keyframes-batch"
    assert Names("studio").dead("q.video-worker.segments") == "studio-q-video--worker-segments-dlq"


def test_all_queues_of_the_pipelines_have_names_of_their_own() -> None:
    queues = {queue for _, queue in load_catalogue().bindings()}
    names = [name for queue in queues for name in (Names().queue(queue), Names().dead(queue))]
    assert len(names) == len(set(names)) == 2 * len(queues) > 40
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in names)


@pytest.mark.parametrize("queue", ["q..x", "q.-x", "q x", "ä", "", ".q", "q.", "q--x"])
def test_what_would_be_ambiguous_or_cannot_be_spelt_is_refused(queue: str) -> None:
    with pytest.raises(ConfigurationError, match="has no name in SQS"):
        Names().queue(queue)


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="shorten the prefix"):
        Names("p" * 40).queue("q." + "x" * 40)


def test_what_is_given_up_goes_to_the_dead_letter_queue_and_everything_stays_for_two_weeks() -> None:
    attributes = queue_attributes(DEAD_ARN)
    assert json.loads(attributes["RedrivePolicy"]) == {"deadLetterTargetArn": DEAD_ARN, "maxReceiveCount": 100}
    assert attributes["MessageRetentionPeriod"] == dead_attributes()["MessageRetentionPeriod"] == "1209600"
