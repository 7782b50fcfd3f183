"""What moto leaves out of S3, and the pipeline stands on: filled in inside the emulator's own process.

CloudFormation gives a bucket its notifications, and every notification says which write of its key it is about.
"""

from __future__ import annotations

from itertools import count
from typing import Any


def fill_gaps() -> None:
    """For the whole process, before it serves."""
    _sequence_notifications()
    _notify_from_templates()


def _sequence_notifications() -> None:
    from moto.s3 import notifications

    told, written = notifications._get_s3_event, count(1)

    def with_sequencer(*arguments: Any) -> dict[str, list[dict[str, Any]]]:
        event: dict[str, list[dict[str, Any]]] = told(*arguments)
        for record in event["Records"]:
            record["s3"]["object"]["sequencer"] = f"{next(written):016X}"
        return event

    notifications._get_s3_event = with_sequencer


def _notify_from_templates() -> None:
    from moto.s3.models import FakeBucket

    made = FakeBucket.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def with_notifications(
        cls: type[FakeBucket], resource_name: str, cloudformation_json: Any, *arguments: Any, **named: Any
    ) -> FakeBucket:
        bucket: FakeBucket = made(cls, resource_name, cloudformation_json, *arguments, **named)
        asked = cloudformation_json.get("Properties", {}).get("NotificationConfiguration")
        if asked:
            queues = [_as_s3_has_it(each) for each in asked["QueueConfigurations"]]
            bucket.set_notification_configuration({"QueueConfiguration": queues})
        return bucket

    FakeBucket.create_from_cloudformation_json = classmethod(with_notifications)


def _as_s3_has_it(given: dict[str, Any]) -> dict[str, Any]:
    """What CloudFormation writes in its own way."""
    rules = given.get("Filter", {}).get("S3Key", {}).get("Rules", [])
    filters = {"S3Key": {"FilterRule": [{"Name": rule["Name"], "Value": rule["Value"]} for rule in rules]}}
    return {"Queue": given["Queue"], "Event": [given["Event"]], **({"Filter": filters} if rules else {})}
