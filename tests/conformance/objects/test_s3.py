"""What only S3 can do to us: wrong keys, missing buckets, servers that are away or promise what they do not keep."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from reelwork.errors import ConfigurationError, ObjectExists, ObjectNotFound, StoreUnavailable
from reelwork.objects import ObjectStore, open_objects
from reelwork.objects.failures import StoreRefuses
from reelwork.objects.part_writer import PART_BYTES
from tests.careless_s3 import careless_s3
from tests.kept_server import free_port
from tests.seaweed import ADMIN, CREDENTIALS, SECRET_KEY, fresh_url, seaweed_server, shared_server

OUTAGE_SECONDS = 0.5
SECRETS = (SECRET_KEY, "another-s3cret", "Signature=")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def give(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    give(**CREDENTIALS)
    return give


@pytest.fixture
def objects() -> ObjectStore:
    return open_objects(fresh_url(), patience_seconds=30)


def complaint(act: Callable[[], object], kind: type[Exception]) -> str:
    """What an error says; never a secret."""
    with pytest.raises(kind) as raised:
        act()
    chain: BaseException | None = raised.value
    while chain is not None:
        assert not any(secret in str(chain) for secret in SECRETS)
        chain = chain.__cause__
    return str(raised.value)


class TestAccess:
    def test_a_wrong_secret_is_refused(self, credentials: Callable[..., None]) -> None:
        url = fresh_url()
        open_objects(url).put("k", b"ours")
        credentials(AWS_SECRET_ACCESS_KEY="another-s3cret")
        objects = open_objects(url)
        assert "SignatureDoesNotMatch" in complaint(lambda: objects.get("k"), StoreRefuses)
        assert "SignatureDoesNotMatch" in complaint(lambda: objects.put("k", b"theirs"), StoreRefuses)
        assert "SignatureDoesNotMatch" in complaint(objects.ping, StoreUnavailable)
        assert "does not let us in" in complaint(objects.verify, ConfigurationError)
        credentials(**CREDENTIALS)
        assert open_objects(url).get("k") == b"ours"

    def test_rights_on_another_bucket_are_none_here(self) -> None:
        objects = open_objects(shared_server().url(bucket="bucket-of-others"))
        assert "s3:ListBucket" in complaint(objects.verify, ConfigurationError)

    def test_no_credentials_at_all_are_told_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in CREDENTIALS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(StoreUnavailable):
            open_objects(fresh_url(), patience_seconds=0).ping()

    def test_a_missing_bucket_is_no_missing_object(self, credentials: Callable[..., None]) -> None:
        """Or what a job was given would seem to be gone for good."""
        credentials(**ADMIN)
        objects = open_objects(shared_server().url(bucket="not-made-yet"))
        for look in (lambda: objects.get("k"), lambda: list(objects.keys("")), objects.ping):
            assert "NoSuchBucket" in complaint(look, StoreUnavailable)

    @pytest.mark.parametrize("away", ["http://127.0.0.1:1", "http://nowhere.invalid", "https://127.0.0.1:1"])
    def test_a_server_that_is_away_is_told_with_its_address(self, away: str) -> None:
        objects = open_objects(f"s3://bucket/prefix?endpoint={away}&region=eu-central-1", patience_seconds=0)
        for look in (objects.ping, lambda: objects.put("k", b""), objects.verify):
            assert f"{away} does not answer" in complaint(look, StoreUnavailable)

    def test_two_prefixes_of_a_bucket_do_not_see_each_other(self, objects: ObjectStore) -> None:
        other = open_objects(fresh_url())
        objects.put("k", b"ours")
        other.put("k", b"theirs")
        other.delete(["k"])
        assert objects.get("k") == b"ours"
        assert (list(objects.keys("")), list(other.keys(""))) == (["k"], [])

    def test_a_prefix_of_many_folders_is_kept_to(self) -> None:
        prefix = f"{shared_server().new_prefix()}/two/three"
        open_objects(shared_server().url(prefix=prefix)).put("jobs/a/results.json", b"[]")
        whole = open_objects(shared_server().url())
        assert list(whole.keys(prefix)) == [f"{prefix}/jobs/a/results.json"]

    def test_many_are_deleted_at_once(self, objects: ObjectStore) -> None:
        for number in range(30):
            objects.put(f"jobs/a/{number}", b"")
        objects.delete(f"jobs/a/{number}" for number in range(29))
        assert list(objects.keys("")) == ["jobs/a/29"]


class TestLinks:
    def test_a_link_is_read_by_anyone_and_by_ranges(self, objects: ObjectStore) -> None:
        objects.put("jobs/a/artifacts/clip.mp4", b"0123456789")
        link = objects.link("jobs/a/artifacts/clip.mp4", seconds=60)
        assert link is not None
        assert SECRET_KEY not in link
        assert httpx.get(link).content == b"0123456789"
        part = httpx.get(link, headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.content) == (206, b"234")
        assert httpx.get(link.replace("clip.mp4", "other.mp4")).status_code == 403
        assert httpx.put(link, content=b"x").status_code == 403

    def test_a_link_ends(self, objects: ObjectStore) -> None:
        objects.put("k", b"1")
        link = objects.link("k", seconds=1)
        assert link is not None
        deadline = time.monotonic() + 10
        while httpx.get(link).status_code != 403:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def test_a_link_names_the_address_that_others_reach_the_server_by(self) -> None:
        url = shared_server().url(prefix="p", public_endpoint="https://media.example.com:8443")
        link = open_objects(url).link("k", seconds=60)
        assert link is not None
        assert link.startswith("https://media.example.com:8443/reelwork-test/p/k?")


def test_an_upload_waits_for_a_server_that_is_killed_in_the_middle_of_it() -> None:
    """It arrives whole, or it is told that it did not, and nothing is there. What was there before stays."""
    with seaweed_server() as server:
        objects = open_objects(server.url(), patience_seconds=60)
        objects.put("k", b"before")
        back = threading.Timer(OUTAGE_SECONDS, server.restart)

        async def chunks():
            for number in range(4):
                yield bytes([number]) * PART_BYTES
                if number == 1:
                    await asyncio.to_thread(server.kill)
                    with pytest.raises(StoreUnavailable, match="does not answer"):
                        await asyncio.to_thread(objects.ping)
                    back.start()

        try:
            asyncio.run(objects.put_stream("upload", chunks()))
        except StoreUnavailable:
            back.join()
            assert not objects.exists("upload")
        else:
            assert b"".join(objects.chunks("upload")) == b"".join(bytes([n]) * PART_BYTES for n in range(4))
        assert objects.get("k") == b"before"
        server.kill()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            open_objects(server.url(), patience_seconds=0.5).get("k")
        assert time.monotonic() - began < 10


class TestCarelessServers:
    """One that passes over a condition would let a second writer replace the first: it is found out and refused."""

    def test_one_that_replaces_what_it_must_not_is_refused(self) -> None:
        with careless_s3("copy if-none-match") as endpoint:
            objects = open_objects(f"s3://bucket?endpoint={endpoint}", patience_seconds=0)
            assert "told not to replace (If-None-Match on PutObject)" in complaint(objects.verify, ConfigurationError)
            assert "told not to replace" in complaint(lambda: objects.create("k", b"1"), ConfigurationError)

    def test_one_that_copies_over_what_it_must_not_is_refused(self) -> None:
        with careless_s3("put if-none-match") as endpoint:
            objects = open_objects(f"s3://bucket?endpoint={endpoint}", patience_seconds=0)
            assert "does not copy to a key only if" in complaint(objects.verify, ConfigurationError)
            objects.put("attempt", b"1")
            assert "does not copy to a key only if" in complaint(
                lambda: objects.promote("attempt", "final"), ConfigurationError
            )

    @pytest.mark.parametrize("copying", ["copy if-none-match", "copy cf-copy-destination-if-none-match"])
    def test_each_way_to_ask_is_found(self, copying: str) -> None:
        with careless_s3("put if-none-match", copying) as endpoint:
            objects = open_objects(f"s3://bucket?endpoint={endpoint}", patience_seconds=0)
            objects.verify()
            objects.create("attempt/1", b"whole")
            with pytest.raises(ObjectExists):
                objects.create("attempt/1", b"other")
            assert objects.promote("attempt/1", "final") is True
            assert objects.promote("attempt/1", "final") is False
            with pytest.raises(ObjectNotFound):
                objects.get("nothing")


def test_nothing_but_the_endpoint_is_ever_spoken_to(credentials: Callable[..., None]) -> None:
    """Another address in the environment must not get what belongs here."""
    credentials(AWS_ENDPOINT_URL_S3="http://127.0.0.1:1", AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_BUCKET="other")
    objects = open_objects(fresh_url(), patience_seconds=0)
    objects.put("k", b"1")
    link = objects.link("k", seconds=60)
    assert link is not None
    assert urlsplit(link).netloc == urlsplit(shared_server().endpoint).netloc
