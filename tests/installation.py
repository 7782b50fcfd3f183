"""An installation as `infra/aws/template.yaml` makes it, on the emulator of AWS, and its tasks as processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import boto3

from tests.kept_server import ROOT
from tests.moto import ACCOUNT, CREDENTIALS, REGION, MotoServer

TEMPLATE: Final = ROOT / "infra" / "aws" / "template.yaml"
TOKEN: Final = "token-of-the-test"


@dataclass(frozen=True)
class Task:
    """As ECS is told of it. command: behind the image's own `reelwork`."""

    command: list[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Installation:
    """prefix: of all its names."""

    server: MotoServer
    prefix: str
    outputs: Mapping[str, str] = field(repr=False)

    @classmethod
    def deployed(cls, server: MotoServer, template: Path = TEMPLATE) -> Installation:
        """Raises what CloudFormation refuses; a stack that is not complete is an AssertionError."""
        clients = {name: _client(server, name) for name in ("cloudformation", "ec2", "secretsmanager")}
        prefix = server.new_name()
        network = clients["ec2"].describe_subnets()["Subnets"]
        secret = clients["secretsmanager"].create_secret(Name=f"{prefix}-api-token", SecretString=TOKEN)
        parameters = {
            "Prefix": prefix,
            "Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/reelwork:test",
            "VpcId": network[0]["VpcId"],
            "SubnetIds": ",".join(subnet["SubnetId"] for subnet in network[:2]),
            "ApiTokenSecretArn": secret["ARN"],
            "ApiClientCidr": "10.0.0.0/16",
        }
        clients["cloudformation"].create_stack(
            StackName=prefix,
            TemplateBody=template.read_text(),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = clients["cloudformation"].describe_stacks(StackName=prefix)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return cls(server, prefix, {out["OutputKey"]: out["OutputValue"] for out in stack["Outputs"]})

    @property
    def input_bucket(self) -> str:
        return self.outputs["InputBucketName"]

    @property
    def output_bucket(self) -> str:
        return self.outputs["OutputBucketName"]

    @property
    def database_url(self) -> str:
        return f"dynamodb://{self.prefix}?region={REGION}&endpoint={self.server.url}"

    @property
    def objects_url(self) -> str:
        return f"s3://{self.output_bucket}?input_bucket={self.input_bucket}&region={REGION}&endpoint={self.server.url}"

    @cached_property
    def s3(self) -> Any:
        return _client(self.server, "s3")

    @cached_property
    def sqs(self) -> Any:
        return _client(self.server, "sqs")

    @cached_property
    def dynamodb(self) -> Any:
        return _client(self.server, "dynamodb")

    def task(self, service: str) -> Task:
        """Its variables are those of the template, and what stands for a role on this machine, and the token."""
        told = _client(self.server, "ecs").describe_task_definition(taskDefinition=f"{self.prefix}-{service}")
        (container,) = told["taskDefinition"]["containerDefinitions"]
        variables = {variable["name"]: variable["value"] for variable in container["environment"]}
        here = {**CREDENTIALS, "AWS_ENDPOINT_URL": self.server.url}
        secret = {"REELWORK_API_TOKEN": TOKEN} if service == "api" else {}
        return Task(container["command"], {**variables, **here, **secret})

    def queue_url(self, spelt: str) -> str:
        """spelt: its name without the prefix, such as `video_worker-segments`."""
        url: str = self.sqs.get_queue_url(QueueName=f"{self.prefix}-q-{spelt}")["QueueUrl"]
        return url

    def depth(self, spelt: str) -> tuple[int, int]:
        """Messages that wait, and those in hand."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.sqs.get_queue_attributes(QueueUrl=self.queue_url(spelt), AttributeNames=names)["Attributes"]
        return int(told[names[0]]), int(told[names[1]])

    def segment_completions(self, job_id: str) -> list[dict[str, Any]]:
        """As others read them."""
        found = self.dynamodb.query(
            TableName=self.outputs["SegmentCompletionsTableName"],
            KeyConditionExpression="job_id = :job",
            ExpressionAttributeValues={":job": {"S": job_id}},
            ConsistentRead=True,
        )
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in found["Items"]]

    def keys(self, bucket: str, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", [])]


def _client(server: MotoServer, name: str) -> Any:
    return boto3.client(
        name,  # type: ignore[call-overload]
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
