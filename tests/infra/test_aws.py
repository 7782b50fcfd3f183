"""What must hold in the CloudFormation template; whether AWS would take it is for `make infra` to say (cfn-lint)."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from reelwork.broker.sqs.names import Names, dead_attributes, queue_attributes
from reelwork.ledger.dynamodb.tables import (
    TTL_ATTRIBUTE,
    completions_table,
    completions_table_name,
    ledger_table,
    ledger_table_name,
)
from reelwork.runtime.registry import load_catalogue
from reelwork.runtime.supervisor import KILL_AFTER_DRAIN_SECONDS
from reelwork.settings import Config
from tests.infra.command_line import parsed
from tests.infra.template import resources, template

CATALOGUE: Final = load_catalogue({"stereo"})
PREFIX: Final = "${Prefix}"
NAMES: Final = Names("PREFIX")
TABLES: Final = resources("AWS::DynamoDB::Table")
QUEUES: Final = resources("AWS::SQS::Queue")
TASKS: Final = resources("AWS::ECS::TaskDefinition")
ROLES: Final = resources("AWS::IAM::Role")
SPARE_SECONDS: Final = 10


def queue_called(name: str) -> tuple[str, dict[str, Any]]:
    spelt = name.replace("PREFIX", PREFIX, 1)
    return next((key, made) for key, made in QUEUES.items() if made["QueueName"] == {"Fn::Sub": spelt})


def container(task: str) -> dict[str, Any]:
    (only,) = TASKS[task]["ContainerDefinitions"]
    found: dict[str, Any] = only
    return found


def as_sqs_takes_them(made: dict[str, Any]) -> dict[str, str]:
    own = {name: value for name, value in made.items() if name not in ("QueueName", "RedrivePolicy")}
    return {name: json.dumps(value) for name, value in own.items()}


def statements(role: str) -> list[dict[str, Any]]:
    (policy,) = ROLES[role]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


class TestQueues:
    def test_every_queue_of_the_pipeline_is_made_as_reelwork_would_make_it(self) -> None:
        queues = {subscription.queue for subscription in CATALOGUE.subscriptions}
        assert len(QUEUES) == 2 * len(queues)
        for queue in queues:
            (_, made), (dead, dead_made) = queue_called(NAMES.queue(queue)), queue_called(NAMES.dead(queue))
            wanted = queue_attributes("arn")
            redrive = json.loads(wanted.pop("RedrivePolicy"))
            assert as_sqs_takes_them(made) == wanted
            assert as_sqs_takes_them(dead_made) == dead_attributes()
            assert made["RedrivePolicy"] == {**redrive, "deadLetterTargetArn": {"Fn::GetAtt": [dead, "Arn"]}}

    def test_each_has_its_alarms(self) -> None:
        alarms = resources("AWS::CloudWatch::Alarm").values()
        told = {(a["Dimensions"][0]["Value"]["Fn::GetAtt"][0], a["MetricName"]) for a in alarms}
        waiting = {(name, "ApproximateAgeOfOldestMessage") for name in QUEUES if name.endswith("Queue")}
        given_up = {(name, "ApproximateNumberOfMessagesVisible") for name in QUEUES if name.endswith("Dlq")}
        assert told == waiting | given_up

    def test_none_is_spoken_to_without_tls_and_only_the_input_bucket_may_tell(self) -> None:
        policies = resources("AWS::SQS::QueuePolicy").values()
        closed, allowed = set(), []
        for policy in policies:
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Effect"] == "Allow":
                    allowed.append((policy["Queues"], statement))
                else:
                    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
                    closed |= {queue["Ref"] for queue in policy["Queues"]}
        assert closed == set(QUEUES)
        ((queues, statement),) = allowed
        assert [queue["Ref"] for queue in queues] == ["VideoSegmentsQueue"]
        assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
        assert set(statement["Condition"]) == {"ArnEquals", "StringEquals"}


class TestTables:
    def test_they_are_made_as_reelwork_would_make_them(self) -> None:
        made = {table["TableName"]["Fn::Sub"].replace(PREFIX, "PREFIX"): table for table in TABLES.values()}
        wanted = {
            ledger_table_name("PREFIX"): ledger_table(ledger_table_name("PREFIX")),
            completions_table_name("PREFIX"): completions_table(completions_table_name("PREFIX")),
        }
        assert set(made) == set(wanted)
        for name, properties in wanted.items():
            assert {key: made[name].get(key) for key in properties} == {
                **properties,
                "TableName": made[name]["TableName"],
            }

    def test_they_age_out_and_can_be_had_back(self) -> None:
        for name, table in TABLES.items():
            assert table["TimeToLiveSpecification"] == {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}
            assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
            assert template()["Resources"][name]["DeletionPolicy"] == "Retain"


class TestBuckets:
    @pytest.mark.parametrize(("name", "properties"), resources("AWS::S3::Bucket").items())
    def test_they_are_closed_and_encrypted_and_lose_what_was_never_finished(
        self, name: str, properties: dict[str, Any]
    ) -> None:
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        rules = properties["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule and "Prefix" not in rule for rule in rules)
        assert template()["Resources"][name]["DeletionPolicy"] == "Retain"
        policies = resources("AWS::S3::BucketPolicy").values()
        (policy,) = (p["PolicyDocument"] for p in policies if p["Bucket"] == {"Ref": name})
        (statement,) = policy["Statement"]
        assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})

    def test_a_segment_outlives_every_message_about_it(self) -> None:
        days = template()["Parameters"]["SegmentDays"]
        seconds = int(queue_attributes("arn")["MessageRetentionPeriod"])
        assert days["MinValue"] * 86_400 > seconds


class TestTasks:
    def test_every_service_has_one_and_the_api_works_on_nothing(self) -> None:
        commands = {container(task)["Name"]: parsed(container(task)["Command"]) for task in TASKS}
        workers = {name: found["services"] for name, (command, found) in commands.items() if command == "worker"}
        assert workers == {name: [name] for name in CATALOGUE.services()}
        (rest,) = commands.keys() - workers.keys()
        command, found = commands[rest]
        assert (rest, command, found["workers"]) == ("api", "serve", 0)

    @pytest.mark.parametrize("task", TASKS)
    def test_its_variables_are_settings(self, task: str) -> None:
        names = [variable["Name"] for variable in container(task)["Environment"]]
        assert len(set(names)) == len(names)
        assert set(names) <= set(Config.model_fields)
        own = {v["Name"]: v["Value"] for v in container(task)["Environment"] if isinstance(v["Value"], str)}
        config = Config(**own)
        assert config.REELWORK_S3_NOTIFICATIONS

    @pytest.mark.parametrize("task", TASKS)
    def test_it_may_take_as_long_to_stop_as_it_says(self, task: str) -> None:
        variables = {v["Name"]: v["Value"] for v in container(task)["Environment"]}
        drain = float(variables["REELWORK_DRAIN_SECONDS"]) + KILL_AFTER_DRAIN_SECONDS
        assert drain + SPARE_SECONDS <= container(task)["StopTimeout"]

    def test_a_worker_is_scaled_by_what_waits_in_its_own_queues(self) -> None:
        policies = resources("AWS::ApplicationAutoScaling::ScalingPolicy")
        for service in CATALOGUE.services():
            key = "".join(part.capitalize() for part in service.split("-"))
            config = policies[f"{key}Scaling"]["TargetTrackingScalingPolicyConfiguration"]
            metrics = config["CustomizedMetricSpecification"]["Metrics"]
            counted = {
                metric["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
                for metric in metrics
                if metric.get("MetricStat", {}).get("Metric", {}).get("Namespace") == "AWS/SQS"
            }
            assert counted <= {queue_called(NAMES.queue(queue))[0] for queue in queues_of(service)}
            assert counted


def queues_of(service: str) -> set[str]:
    """That have a handler, or only announce."""
    return {subscription.queue for subscription in CATALOGUE.subscriptions if subscription.service == service}


class TestRights:
    def test_nobody_may_do_anything_to_everything(self) -> None:
        policies = [p for role in ROLES.values() for p in role["Policies"]]
        documents = [p["PolicyDocument"] for p in policies]
        documents += [p["PolicyDocument"] for p in resources("AWS::IAM::ManagedPolicy").values()]
        for document in documents:
            for statement in document["Statement"]:
                actions, places = statement["Action"], statement["Resource"]
                for action in [actions] if isinstance(actions, str) else actions:
                    assert "*" not in action
                for place in places if isinstance(places, list) else [places]:
                    assert place != "*"

    def test_a_worker_takes_from_its_own_queues_alone(self) -> None:
        for service in CATALOGUE.services():
            role = "".join(part.capitalize() for part in service.split("-")) + "Role"
            taken = {
                place["Fn::GetAtt"][0]
                for statement in statements(role)
                if "sqs:ReceiveMessage" in statement["Action"]
                for place in statement["Resource"]
            }
            assert taken == {queue_called(NAMES.queue(queue))[0] for queue in queues_of(service)}
        assert not any("sqs:ReceiveMessage" in statement["Action"] for statement in statements("ApiRole"))
