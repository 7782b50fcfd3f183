"""One store on two buckets: what jobs are made from lies in the one, what is made of it in the other."""

from __future__ import annotations

from urllib.parse import urlencode

import boto3
import httpx
import pytest

from reelwork.errors import ConfigurationError, ObjectExists, StoreUnavailable
from reelwork.objects import ObjectStore, open_objects
from tests import moto, seaweed

SOURCE, SEGMENT, RESULT = "input/a/source.mp4", "segments/a/00000_00001_sbs.mp4", "jobs/a/final.mp4"


def url(bucket: str, **options: str) -> str:
    asked = {"endpoint": moto.shared_server().url, "region": moto.REGION, **options}
    return f"s3://{bucket}?{urlencode(asked)}"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Of two buckets that nobody else uses."""
    server = moto.shared_server()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    client, name = boto3.client("s3"), server.new_name()
    for kind in ("in", "out"):
        client.create_bucket(Bucket=f"{name}-{kind}")
    return f"{name}-in", f"{name}-out"


@pytest.fixture
def objects(names: tuple[str, str]) -> ObjectStore:
    inputs, outputs = names
    return open_objects(url(outputs, input_bucket=inputs))


def alone(bucket: str) -> ObjectStore:
    return open_objects(url(bucket))


def test_the_key_says_which_bucket_it_is(objects: ObjectStore, names: tuple[str, str]) -> None:
    inputs, outputs = names
    objects.put(SOURCE, b"source")
    with objects.writer(SEGMENT) as file:
        file.write(b"segment")
    with objects.staged(RESULT) as path:
        path.write_bytes(b"final")
    assert [objects.bucket_of(key) for key in (SOURCE, SEGMENT, RESULT)] == [inputs, inputs, outputs]
    assert {SOURCE, SEGMENT} == set(alone(inputs).keys(""))
    assert {RESULT} == set(alone(outputs).keys(""))
    assert [objects.get(key) for key in (SOURCE, SEGMENT, RESULT)] == [b"source", b"segment", b"final"]
    assert objects.stored(SOURCE).read_range(0, 3) == b"sou"
    link = objects.link(SEGMENT, seconds=60)
    assert link is not None
    assert httpx.get(link).content == b"segment"


def test_everything_is_listed_and_removed_where_it_lies(objects: ObjectStore, names: tuple[str, str]) -> None:
    for key in (SOURCE, SEGMENT, RESULT):
        objects.put(key, b"1")
    alone(names[0]).put("others/file", b"not ours")
    assert set(objects.keys("")) == {SOURCE, SEGMENT, RESULT}
    assert [*objects.keys("input/"), *objects.keys("segments/a/"), *objects.keys("jobs/")] == [SOURCE, SEGMENT, RESULT]
    objects.delete([SOURCE, RESULT, "input/never/there.mp4"])
    assert set(objects.keys("")) == {SEGMENT}
    assert alone(names[0]).exists("others/file")


def test_the_first_writer_wins_in_both_and_nothing_goes_from_one_to_the_other(objects: ObjectStore) -> None:
    objects.verify()
    for key in (SEGMENT, RESULT):
        objects.create(key, b"first")
        with pytest.raises(ObjectExists):
            objects.create(key, b"second")
    objects.put("jobs/a/stages/x", b"made")
    assert objects.promote("jobs/a/stages/x", "jobs/a/other.mp4")
    with pytest.raises(ValueError, match="different buckets"):
        objects.promote("jobs/a/stages/x", SOURCE)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_bucket_that_is_not_there_is_named(names: tuple[str, str], gone: int) -> None:
    given = [*names]
    given[gone] = "nobody-has-made-it"
    objects = open_objects(url(given[1], input_bucket=given[0]))
    with pytest.raises((StoreUnavailable, ConfigurationError), match="bucket"):
        objects.verify()
    with pytest.raises(StoreUnavailable, match="bucket of the object store does not exist"):
        objects.get((SOURCE, RESULT)[gone])


def test_a_bucket_that_we_may_not_read_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seaweed.CREDENTIALS.items():  # of somebody who may use the common bucket alone
        monkeypatch.setenv(name, value)
    objects = open_objects(seaweed.shared_server().url(input_bucket="anothers"))
    with pytest.raises(ConfigurationError, match=r"does not let us in: .*they need s3:ListBucket and s3:GetObject"):
        objects.verify()
