"""Every setting of Reelwork in one place, read from the environment.

Nothing else reads environment variables for itself.
"""

from __future__ import annotations

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from reelwork import aws
from reelwork.errors import ConfigurationError

DEFAULT_COMPLETION_THRESHOLD_PERCENTAGE = Decimal(90)
DEFAULT_WATERMARK_TTL_SECONDS = 900
DEFAULT_BROKER_URL = "sql:"
DEFAULT_DATA_DIR = Path("reelwork-data")


def clamp_percentage(value: object) -> Decimal:
    """A percentage as an exact decimal, clamped to [0, 100]. Raises ValueError for what is not a finite number."""
    try:
        percentage = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a percentage; give a number from 0 to 100") from None
    if not percentage.is_finite():
        raise ValueError(f"{value!r} is not a percentage; give a number from 0 to 100")
    return min(max(percentage, Decimal(0)), Decimal(100))


Percentage = Annotated[Decimal, BeforeValidator(clamp_percentage)]


class Config(BaseSettings):
    """Settings by the names of their environment variables; `infra/pvm/.env.example` holds them all with their
    defaults.
    """

    model_config = SettingsConfigDict(env_prefix="", frozen=True, extra="ignore")

    COMPLETION_THRESHOLD_PERCENTAGE: Percentage = Field(
        DEFAULT_COMPLETION_THRESHOLD_PERCENTAGE,
        description="Percent of announced assets at which a stage may complete; clamped to [0, 100].",
    )
    WATERMARK_TTL_SECONDS: float = Field(
        DEFAULT_WATERMARK_TTL_SECONDS,
        ge=0,
        allow_inf_nan=False,
        description="Seconds without news after which an open stage completes with what it has.",
    )
    REELWORK_DATA_DIR: Path = Field(DEFAULT_DATA_DIR, description="Folder of the embedded database and objects.")
    REELWORK_DATABASE_URL: SecretStr | None = Field(
        None,
        description="State of record; default sqlite:///<data folder>/reelwork.db, or "
        "postgresql://user:password@host/db, dynamodb://prefix?region=...",
    )
    REELWORK_BROKER_URL: SecretStr | None = Field(
        None,
        description="Message broker; default sql:, the ledger's own database; "
        "or redis://user:password@host:6379/0, rediss://, amqp://user:password@host:5672/vhost, amqps://, "
        "sqs://prefix?region=...",
    )
    REELWORK_OBJECTS_URL: str | None = Field(
        None,
        description="Object store; default file://<data folder>/objects, or s3://bucket/prefix?endpoint=...&region=... "
        "or s3://bucket?input_bucket=... for sources and segments in a bucket of their own.",
    )
    INPUT_BUCKET_NAME: str | None = Field(
        None, description="S3 bucket of sources and segments; unless REELWORK_OBJECTS_URL says where objects are."
    )
    OUTPUT_BUCKET_NAME: str | None = Field(None, description="S3 bucket of everything that is made of them.")
    SEGMENT_COMPLETIONS_TABLE_NAME: str | None = Field(
        None,
        description="DynamoDB table of converted segments, by convention PREFIX-segment-completions; the ledger "
        "is then on DynamoDB, in PREFIX-ledger, unless REELWORK_DATABASE_URL says where it is.",
    )
    VIDEO_WORKER_QUEUE_URL: str | None = Field(
        None,
        description="SQS queue of the video-worker, by convention PREFIX-q-video_worker-segments; the others have the "
        "same prefix, unless REELWORK_BROKER_URL says which broker there is.",
    )
    AWS_REGION: str | None = Field(None, description="Region of what the four settings above name.")
    AWS_ENDPOINT_URL: str | None = Field(None, description="Where that is, if not at Amazon, such as an emulator.")
    REELWORK_S3_NOTIFICATIONS: bool = Field(
        False,
        description="Whether the input bucket tells the video-worker's SQS queue of segments, so that nobody else "
        "needs to; what it does not tell within REELWORK_REPUBLISH_AFTER_SECONDS is sent all the same.",
    )
    REELWORK_PIPELINES: str | None = Field(
        None,
        description="Pipelines that this installation runs, joined by commas; all by default, and stereo alone where "
        "VIDEO_WORKER_QUEUE_URL says which broker there is.",
    )
    REELWORK_MODELS_DIR: Path | None = Field(
        None, description="Folder of model weights; default: reelwork/models in the user's cache folder."
    )
    REELWORK_MATCH_MASKS: Literal["off", "products", "all"] = Field(
        "products", description="What the match pipeline cuts out of its background: off, products or all."
    )
    REELWORK_MATCH_ENCODER: str = Field(
        "efficientnet-lite0",
        description="Image encoder of the match pipeline: its name, or the .json configuration beside an ONNX file.",
    )
    MODEL: str = Field("stub", description="Model of stereo jobs that name none: stub, shift or depth.")
    REELWORK_STEREO_DEPTH: str = Field(
        "fastdepth",
        description="Depth network of the stereo pipeline: its name, or the .json configuration beside an ONNX file.",
    )
    REELWORK_API_TOKEN: SecretStr | None = Field(
        None, description="Bearer token of the API; must be set to listen beyond loopback."
    )
    REELWORK_API_URL: str = Field("http://127.0.0.1:8000", description="Server that the command line talks to.")
    REELWORK_MAX_UPLOAD_BYTES: int = Field(8 * 1024**3, ge=1, description="Largest accepted upload, in bytes (8 GiB).")
    REELWORK_WATERMARK_MAX_SECONDS: float = Field(
        86_400, gt=0, description="Longest time that queued or running work can hold a due watermark back."
    )
    REELWORK_SETTLE_SECONDS: float = Field(
        30,
        ge=0,
        description="How long the conductor waits for the rest of a partly completed stage while none of it comes.",
    )
    REELWORK_SWEEP_SECONDS: float = Field(5, gt=0, description="Time between two sweeps.")
    REELWORK_REPUBLISH_AFTER_SECONDS: float = Field(
        300, gt=0, description="Age at which an unconsumed event is published again; doubles each time."
    )
    REELWORK_LEASE_SECONDS: float = Field(
        30, gt=0, description="A delivery not extended for so long goes to another worker."
    )
    REELWORK_HANDLER_TIMEOUT_SECONDS: float = Field(
        1_500,
        gt=0,
        description="Longest run of one handler on one asset; its worker process is then replaced. "
        "RabbitMQ wants it below its consumer_timeout, which is 1800 as a rule.",
    )
    REELWORK_DRAIN_SECONDS: float = Field(
        30, ge=0, description="After SIGTERM, how long running handlers may take to finish."
    )
    REELWORK_START_SECONDS: float = Field(
        60,
        ge=0,
        description="At the start of a server or worker, how long a back end that is not up yet is waited for.",
    )
    REELWORK_METRICS_HOST: str = Field(
        "127.0.0.1", description="Address of the health and metrics port of `reelwork worker`."
    )
    REELWORK_METRICS_PORT: int | None = Field(
        None, ge=0, le=65_535, description="That port; 0 for any free one, none by default."
    )
    REELWORK_ALLOWED_NETWORKS: str = Field(
        "",
        description="Networks or addresses, joined by commas, that downloads may reach although they are not public.",
    )
    REELWORK_SOURCE_FOLDERS: str = Field(
        "", description="Folders, joined by colons, below which jobs may read products and videos; none by default."
    )
    REELWORK_JOBS_NAME_FOLDERS: bool = Field(
        False,
        description="Whether a job may name the folders that it reads, with links that lead anywhere: "
        "`reelwork match` sets it for its own workers. Never set it for a server that others use.",
    )
    REELWORK_DOWNLOAD_MAX_BYTES: int = Field(
        2 * 1024**3, ge=1, description="Largest accepted download of a video, in bytes (2 GiB)."
    )
    REELWORK_DOWNLOAD_SECONDS: float = Field(900, gt=0, description="Longest download of a video, in seconds.")
    REELWORK_EBAY_CLIENT_ID: str | None = Field(None, description="eBay application's client id (App ID).")
    REELWORK_EBAY_CLIENT_SECRET: SecretStr | None = Field(
        None, description="eBay application's client secret (Cert ID)."
    )
    REELWORK_EBAY_API_URL: str = Field("https://api.ebay.com", description="eBay's API; its sandbox has another.")
    REELWORK_LOG_LEVEL: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )
    REELWORK_LOG_FORMAT: Literal["auto", "json", "console"] = Field(
        "auto", description="json: an object a line. console: for eyes. auto: console on a terminal, else json."
    )

    @property
    def database_url(self) -> str:
        """With its password, if it has one: nothing may show it."""
        url = self.REELWORK_DATABASE_URL
        given = None if url is None else url.get_secret_value()
        if not given and self.SEGMENT_COMPLETIONS_TABLE_NAME:
            return aws.database_url(table=self.SEGMENT_COMPLETIONS_TABLE_NAME, **self._aws)
        return given or f"sqlite:///{self.REELWORK_DATA_DIR.absolute()}/reelwork.db"

    @property
    def broker_url(self) -> str:
        """With its password, if it has one: nothing may show it."""
        url = self.REELWORK_BROKER_URL
        given = None if url is None else url.get_secret_value()
        if not given and self.VIDEO_WORKER_QUEUE_URL:
            return aws.broker_url(queue_url=self.VIDEO_WORKER_QUEUE_URL, **self._aws)
        return given or DEFAULT_BROKER_URL

    @property
    def queue_urls(self) -> dict[str, str]:
        """Of queues of SQS that are told by a setting of their own, by our names for them."""
        told = None if self.REELWORK_BROKER_URL else self.VIDEO_WORKER_QUEUE_URL
        return {aws.VIDEO_WORKER_QUEUE: told} if told else {}

    @property
    def pipelines(self) -> frozenset[str] | None:
        """The names of those that run here; None = all."""
        if self.REELWORK_PIPELINES:
            return frozenset(filter(None, map(str.strip, self.REELWORK_PIPELINES.split(","))))
        return frozenset({"stereo"}) if self.queue_urls else None

    @property
    def objects_url(self) -> str:
        if not self.REELWORK_OBJECTS_URL and (self.INPUT_BUCKET_NAME or self.OUTPUT_BUCKET_NAME):
            return aws.objects_url(inputs=self.INPUT_BUCKET_NAME, outputs=self.OUTPUT_BUCKET_NAME, **self._aws)
        return self.REELWORK_OBJECTS_URL or f"file://{self.REELWORK_DATA_DIR.absolute()}/objects"

    @property
    def uses_data_dir(self) -> bool:
        """A worker that is told where database and objects are has no use for a folder."""
        has_database = self.REELWORK_DATABASE_URL or self.SEGMENT_COMPLETIONS_TABLE_NAME
        has_objects = self.REELWORK_OBJECTS_URL or self.INPUT_BUCKET_NAME or self.OUTPUT_BUCKET_NAME
        return not (has_database and has_objects)

    @property
    def _aws(self) -> dict[str, str | None]:
        return {"region": self.AWS_REGION or None, "endpoint": self.AWS_ENDPOINT_URL or None}

    def prepare_data_dir(self) -> None:
        """Makes the data folder. Raises ConfigurationError where it cannot be written."""
        folder = self.REELWORK_DATA_DIR.absolute()
        probe = folder / f".writable-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write to the data folder {folder}: {error.strerror or error}. "
                "Choose another with --data DIR or REELWORK_DATA_DIR, or mend its permissions."
            ) from error
