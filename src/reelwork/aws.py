"""What the variables of a worker on AWS mean: buckets, table and queue by name, and the addresses that these stand for.

The other queues and tables of an installation are called like those two, with the same prefix.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode, urlsplit

from reelwork.errors import ConfigurationError

DEFAULT_PREFIX: Final = "reelwork"
VIDEO_WORKER_QUEUE: Final = "q.video_worker.segments"
QUEUE_ENDING: Final = "-q-video_worker-segments"
TABLE_ENDING: Final = "-segment-completions"


def objects_url(*, inputs: str | None, outputs: str | None, region: str | None, endpoint: str | None) -> str:
    """Of two buckets, or of one that has both names. Raises ConfigurationError where only one is named."""
    if not inputs or not outputs:
        given, missing = ("OUTPUT", "INPUT") if outputs else ("INPUT", "OUTPUT")
        raise ConfigurationError(f"{given}_BUCKET_NAME is set and {missing}_BUCKET_NAME is not: set both, or neither")
    own = {} if inputs == outputs else {"input_bucket": inputs}
    return _url("s3", outputs, region=region, endpoint=endpoint, **own)


def database_url(*, table: str, region: str | None, endpoint: str | None) -> str:
    return _url("dynamodb", _prefix(table, TABLE_ENDING), region=region, endpoint=endpoint)


def broker_url(*, queue_url: str, region: str | None, endpoint: str | None) -> str:
    """Raises ConfigurationError for what is no address of a queue."""
    name = urlsplit(queue_url).path.rpartition("/")[2]
    if not queue_url.startswith(("http://", "https://")) or not name:
        raise ConfigurationError(
            f"VIDEO_WORKER_QUEUE_URL is {queue_url!r:.200}; it must be the URL of a queue, such as "
            f"https://sqs.eu-central-1.amazonaws.com/123456789012/{DEFAULT_PREFIX}{QUEUE_ENDING}"
        )
    return _url("sqs", _prefix(name, QUEUE_ENDING), region=region, endpoint=endpoint)


def _prefix(name: str, ending: str) -> str:
    return name.removesuffix(ending) if name.endswith(ending) and name != ending else DEFAULT_PREFIX


def _url(scheme: str, place: str, **options: str | None) -> str:
    told = {name: value for name, value in options.items() if value}
    return f"{scheme}://{place}" + (f"?{urlencode(told)}" if told else "")
