"""Which bucket, prefix and server the URL of an S3 store means. It holds no secret, and one that does is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from reelwork.errors import ConfigurationError

SUPPORTED: Final = (
    "use s3://bucket/prefix, with ?endpoint=https://host:port&region=NAME for other servers than Amazon's"
)
CREDENTIALS: Final = "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the machine's role"
OPTIONS: Final = ("endpoint", "region", "style", "public_endpoint", "input_bucket")
STYLES: Final = ("path", "virtual")
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX: Final = re.compile(r"[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*")
REGION: Final = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """endpoint: of the server; None for Amazon's. public_endpoint: what links that are given away begin with, where
    that is another. input_bucket: where sources and segments lie, where that is a bucket of its own. is_virtual: the
    bucket is in the host's name, not in the path.
    """

    bucket: str
    input_bucket: str | None
    prefix: str
    endpoint: str | None
    public_endpoint: str | None
    region: str | None
    is_virtual: bool

    @classmethod
    def of(cls, url: str) -> S3Address:
        """Raises ConfigurationError, which never shows what may be a secret."""
        try:
            parts = urlsplit(url)
            has_secret = parts.username is not None or parts.password is not None
        except ValueError:
            raise ConfigurationError(f"the object store's URL cannot be read; {SUPPORTED}") from None
        if has_secret or parts.fragment:
            raise ConfigurationError(f"the URL of the object store must hold no credentials: {CREDENTIALS}")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            known = ", ".join(OPTIONS)
            raise ConfigurationError(f"unknown options of the object store: {', '.join(unknown)}; known are {known}")
        prefix = parts.path.strip("/")
        input_bucket = options.get("input_bucket")
        for bucket in (parts.netloc, *([] if input_bucket is None else [input_bucket])):
            if BUCKET.fullmatch(bucket) is None:
                raise ConfigurationError(f"{bucket!r} is not the name of a bucket; {SUPPORTED}")
        if input_bucket is not None and (prefix or input_bucket == parts.netloc):
            raise ConfigurationError(
                "an input bucket must be another than the bucket of the URL, which then has no prefix: "
                "the notifications of a bucket name keys without any"
            )
        if prefix and (PREFIX.fullmatch(prefix) is None or {".", ".."} & set(prefix.split("/"))):
            raise ConfigurationError(f"{prefix!r} cannot be a prefix of keys: letters, digits and _ . = - between /")
        region = options.get("region")
        if region is not None and REGION.fullmatch(region) is None:
            raise ConfigurationError(f"{region!r} is not a region, such as eu-central-1")
        endpoint = _endpoint(options.get("endpoint"))
        has_dots = "." in f"{parts.netloc}{input_bucket or ''}"
        style = options.get("style", "path" if endpoint or has_dots else "virtual")
        if style not in STYLES:
            raise ConfigurationError(f"style={style} is not known; use style=path or style=virtual")
        return cls(
            bucket=parts.netloc,
            input_bucket=input_bucket,
            prefix=prefix,
            endpoint=endpoint,
            public_endpoint=_endpoint(options.get("public_endpoint")),
            region=region,
            is_virtual=style == "virtual",
        )

    @property
    def shown(self) -> str:
        """For people."""
        where = f" at {self.endpoint}" if self.endpoint else ""
        inputs = f" and s3://{self.input_bucket}" if self.input_bucket else ""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/") + inputs + where

    def client_settings(self, endpoint: str | None) -> dict[str, Any]:
        """What obstore is told of the server; nothing but an http:// endpoint is ever spoken to without TLS."""
        told: dict[str, Any] = {"virtual_hosted_style_request": self.is_virtual}
        if self.region is not None:
            told["region"] = self.region
        if endpoint is not None:
            reached = self._with_bucket(endpoint) if self.is_virtual else endpoint
            told |= {"endpoint": reached, "aws_endpoint_url_s3": reached}  # the second would win from the environment
        return told

    def _with_bucket(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        return urlunsplit(parts._replace(netloc=f"{self.bucket}.{parts.netloc}"))


def _endpoint(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        parts = urlsplit(given)
        is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound or parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError("the endpoint of the object store must be https://host:port, or http://host:port")
    return given.rstrip("/")
