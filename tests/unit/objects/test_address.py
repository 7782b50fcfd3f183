"""Which server and bucket a URL means; what it refuses, and that no secret is ever repeated."""

import pytest

from reelwork.errors import ConfigurationError
from reelwork.objects.address import S3Address


class TestReading:
    def test_a_bucket_of_amazon_is_in_the_name_of_the_host(self) -> None:
        address = S3Address.of("s3://my-bucket/some/prefix/?region=eu-central-1")
        assert (address.bucket, address.prefix, address.region) == ("my-bucket", "some/prefix", "eu-central-1")
        assert (address.endpoint, address.is_virtual) == (None, True)
        assert address.shown == "s3://my-bucket/some/prefix"

    def test_a_bucket_with_a_dot_is_in_the_path(self) -> None:
        """A certificate for *.s3.amazonaws.com does not hold for it."""
        assert not S3Address.of("s3://my.bucket").is_virtual

    def test_another_server_gets_the_bucket_in_the_path(self) -> None:
        address = S3Address.of("s3://bucket?endpoint=https://minio.example.com:9000/")
        assert not address.is_virtual
        assert address.client_settings(address.endpoint)["endpoint"] == "https://minio.example.com:9000"
        assert address.shown == "s3://bucket at https://minio.example.com:9000"

    def test_another_server_can_have_it_in_its_name(self) -> None:
        address = S3Address.of("s3://bucket?endpoint=https://r2.example.com:9000&style=virtual")
        assert address.client_settings(address.endpoint)["endpoint"] == "https://bucket.r2.example.com:9000"

    def test_inputs_can_have_a_bucket_of_their_own(self) -> None:
        address = S3Address.of("s3://made?input_bucket=given")
        assert (address.bucket, address.input_bucket, address.is_virtual) == ("made", "given", True)
        assert address.shown == "s3://made and s3://given"
        assert not S3Address.of("s3://made?input_bucket=giv.en").is_virtual


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://alice:s3cret@bucket", "must hold no credentials"),
        ("s3://KEY:s3cret@bucket?endpoint=http://a:b@c", "must hold no credentials"),
        ("s3://bucket?endpoint=http://alice:s3cret@host", "must be https://host:port"),
        ("s3://bucket?endpoint=https://host?token=s3cret", "must be https://host:port"),
        ("s3://bucket?endpoint=host:9000", "must be https://host:port"),
        ("s3://bucket?endpoint=ftp://host", "must be https://host:port"),
        ("s3://bucket?public_endpoint=nowhere", "must be https://host:port"),
        ("s3://bucket?secret_access_key=s3cret", "unknown options of the object store: secret_access_key"),
        ("s3://bucket?region=s3cret region", "is not a region"),
        ("s3://bucket?style=sideways", "use style=path or style=virtual"),
        ("s3://Bucket_Name", "is not the name of a bucket"),
        ("s3://b", "is not the name of a bucket"),
        ("s3:///prefix", "is not the name of a bucket"),
        ("s3://bucket/a//b", "cannot be a prefix"),
        ("s3://bucket/a/../b", "cannot be a prefix"),
        ("s3://bucket/a%2Fb", "cannot be a prefix"),
        ("s3://bucket?input_bucket=Given", "'Given' is not the name of a bucket"),
        ("s3://bucket?input_bucket=bucket", "must be another than the bucket of the URL"),
        ("s3://bucket/prefix?input_bucket=given", "which then has no prefix"),
        ("s3://bucket#s3cret", "must hold no credentials"),
        ("s3://[bucket", "cannot be read"),
    ],
)
def test_a_url_that_is_not_understood_is_refused(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as refused:
        S3Address.of(url)
    assert "alice" not in str(refused.value)
    assert "s3cret" not in str(refused.value).replace("s3cret region", "")
