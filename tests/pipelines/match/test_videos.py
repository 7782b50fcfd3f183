"""Where videos come from: files, folders, uploads, and addresses through the real yt-dlp and a real server."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelwork.errors import UnsupportedMedia
from reelwork.media import open_bytes, probe_video
from reelwork.objects import ObjectStore, open_objects
from reelwork.pipelines.match.access import Access, PathRefused
from reelwork.pipelines.match.sources import BrokenEntry, SourceUnusable
from reelwork.pipelines.match.videos import (
    Video,
    check_video_source,
    downloaded_video,
    list_videos,
    load_video_source,
    video_file,
)
from reelwork.pipelines.match.web import AddressRefused, DownloadRefused, DownloadTooLarge, DownloadUnavailable
from reelwork.settings import Config
from tests.clips import write_clip
from tests.web_server import LOCALHOST, OTHER_LOCALHOST, Answer, Request, WebServer, web_server

PATH_MAX = 4096


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as served:
        yield served


def access_with(folder: Path, **settings: object) -> Access:
    given = {"REELWORK_SOURCE_FOLDERS": str(folder), "REELWORK_ALLOWED_NETWORKS": LOCALHOST, **settings}
    return Access.of(Config.model_validate(given))


def listed(access: Access, *sources: dict[str, object]) -> tuple[list[Video], list[str]]:
    found = list(list_videos([load_video_source(source) for source in sources], access))
    videos = [one for one in found if isinstance(one, Video)]
    return videos, [str(one) for one in found if isinstance(one, BrokenEntry)]


def read(video: Video, access: Access, objects: ObjectStore, *, uploads_prefix: str) -> bytes:
    with video_file(video, access, objects, uploads_prefix=uploads_prefix) as media, open_bytes(media) as file:
        return file.read()


def download(url: str, access: Access) -> bytes:
    with downloaded_video(url, access) as path:
        return path.read_bytes()


def deep_folder(folder: Path) -> Path:
    """Makes a folder whose path is longer than the system reads, and so cannot be read even by root."""
    before = os.getcwd()
    try:
        os.chdir(folder)
        while len(str(folder)) < PATH_MAX:
            folder /= "d" * 200
            os.mkdir(folder.name)
            os.chdir(folder.name)
    finally:
        os.chdir(before)
    return folder


class TestListing:
    def test_files_folders_addresses_and_uploads(self, tmp_path: Path, access: Access) -> None:
        for name in ("a.mp4", "more/b.mkv", "more/.hidden.mp4", "more/notes.txt", "more/c.webm"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        videos, told = listed(
            access,
            {"source": "path", "path": str(tmp_path / "a.mp4")},
            {"source": "path", "path": str(tmp_path)},
            {"source": "url", "url": "https://host.example/clips/d%20e.mp4?sig=1"},
            {"source": "url", "url": "https://host.example/watch?t=7&v=1&token=s3cret"},
            {"source": "upload", "files": {"f.mp4": "input/j/f"}},
        )
        assert [video.title for video in videos] == ["a", "b", "c", "d e", "host.example/watch?v=1", "f"]
        assert videos[-1].location == "object:input/j/f"
        assert len({video.video_id for video in videos}) == 6
        assert told == []

    def test_ids_are_the_same_on_every_reading_and_differ_for_files_of_one_name(
        self, tmp_path: Path, access: Access
    ) -> None:
        for name in ("one/a.mp4", "two/a.mp4", "two/a.mov"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        videos, _ = listed(access, {"source": "path", "path": str(tmp_path)})
        assert videos[0].video_id == "a"
        assert len({video.video_id for video in videos}) == 3
        assert videos == listed(access, {"source": "path", "path": str(tmp_path)})[0]

    def test_a_long_address_is_no_long_title(self, access: Access) -> None:
        url = "https://host.example/" + "x" * 1_900
        ((video,), told) = listed(access, {"source": "url", "url": url})
        assert (len(video.title), video.location, told) == (200, url, [])

    def test_a_name_that_is_no_text_costs_itself(self, tmp_path: Path, access: Access) -> None:
        write_clip(tmp_path / "a.mp4")
        write_clip(tmp_path / "b.mp4").rename(tmp_path / "b\udcff.mp4")
        videos, told = listed(access, {"source": "path", "path": str(tmp_path)})
        assert [video.title for video in videos] == ["a"]
        (line,) = told
        assert line == f"{tmp_path}/b\\udcff.mp4: the name is no text (UTF-8), and cannot be passed on; rename it"

    def test_no_title_holds_what_may_be_a_token(self, access: Access) -> None:
        urls = [
            "https://host.example/stream?token=s3cret",
            "https://host.example/stream?v=s3cret/a%20token",
            "https://me:s3cret@host.example/stream#s3cret",
        ]
        videos, _ = listed(access, *({"source": "url", "url": url} for url in urls))
        assert [video.title for video in videos] == ["host.example/stream"] * 3
        assert not any("s3cret" in video.video_id + video.title + video.name for video in videos)
        assert len({video.video_id for video in videos}) == 3

    def test_what_cannot_be_looked_into_is_told(self, tmp_path: Path, access: Access) -> None:
        (tmp_path / "a.mp4").touch()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "b.mp4").touch()
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
        deepest = deep_folder(tmp_path / "in")
        videos, told = listed(access, {"source": "path", "path": str(tmp_path / "in")})
        assert videos == []
        assert (
            told[0] == f"{tmp_path}/in/link: this is a link to a folder, and not followed; name that folder itself, "
            "or put it here"
        )
        assert told[1].startswith(str(deepest))
        assert "the folder cannot be read: File name too long; nothing in it was looked at" in told[1]
        assert len(told) == 2, "and it is not said to be empty"

    def test_an_empty_folder_and_too_many_videos_are_told(self, tmp_path: Path, access: Access) -> None:
        source = {"source": "path", "path": str(tmp_path)}
        assert listed(access, source) == (
            [],
            [f"{tmp_path}: the folder holds no videos; put MP4, MOV, MKV, WebM or AVI files into it"],
        )
        for name in "abc":
            (tmp_path / f"{name}.mp4").touch()
        found = list(list_videos([load_video_source(source)], access, videos_max=2))
        assert str(found[-1]) == "videos: there are more than 2 videos; the rest is left out"
        assert len(found) == 3

    # (what a job says, what it is told)
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"source": "tape"}, "tape"),
            ({}, "source"),
            ({"source": "url"}, "url.url: Field required"),
            ({"source": "path", "path": "/a", "more": 1}, "Extra inputs"),
        ],
    )
    def test_what_is_no_source_is_refused(self, given: dict[str, object], told: str) -> None:
        with pytest.raises(SourceUnusable, match=told):
            load_video_source(given)

    def test_what_cannot_work_is_refused_at_submit(self, access: Access) -> None:
        with pytest.raises(PathRefused):
            check_video_source(load_video_source({"source": "path", "path": "/etc/passwd"}), access)
        with pytest.raises(DownloadRefused):
            check_video_source(load_video_source({"source": "url", "url": "file:///etc/passwd"}), access)


class TestFiles:
    def test_a_file_is_used_where_it_lies(self, tmp_path: Path, access: Access) -> None:
        path = write_clip(tmp_path / "a.mp4")
        with video_file(Video("a", "a", str(path)), access, open_objects("memory://"), uploads_prefix="x/") as found:
            assert found == path

    def test_a_link_to_the_outside_is_refused(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "secret.mp4")
        (tmp_path / "open").mkdir()
        (tmp_path / "open" / "a.mp4").symlink_to(tmp_path / "secret.mp4")
        access = access_with(tmp_path / "open")
        ((video,), _) = listed(access, {"source": "path", "path": str(tmp_path / "open")})
        with pytest.raises(PathRefused), video_file(video, access, open_objects("memory://"), uploads_prefix="x/"):
            pass

    def test_a_link_in_a_folder_of_ones_own_leads_anywhere(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "elsewhere.mp4")
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "a.mp4").symlink_to(clip)
        own = [str(tmp_path / "own")]
        access = Access.of(Config(REELWORK_JOBS_NAME_FOLDERS=True), own)
        ((video,), told) = listed(access, {"source": "path", "path": own[0]})
        assert (video.title, told) == ("a", [])
        assert read(video, access, open_objects("memory://"), uploads_prefix="x/") == clip.read_bytes()
        for outside in (clip, tmp_path / "own" / ".." / "elsewhere.mp4", tmp_path / "own2"):
            with pytest.raises(PathRefused, match="outside"):
                access.path(str(outside))

    def test_what_a_job_calls_its_own_counts_only_where_the_settings_say_so(self, tmp_path: Path) -> None:
        access = Access.of(Config(), [str(tmp_path)])
        with pytest.raises(PathRefused, match="outside"):
            access.path(str(tmp_path))

    def test_an_upload_is_one_of_the_same_job(self, access: Access) -> None:
        objects = open_objects("memory://")
        objects.put("input/mine/videos/00000", b"video")
        objects.put("input/other/a", b"secret")
        mine = Video("a", "a", "object:input/mine/videos/00000")
        with video_file(mine, access, objects, uploads_prefix="input/mine/") as media, open_bytes(media) as file:
            assert file.read() == b"video"
        other = Video("a", "a", "object:input/other/a")
        with pytest.raises(PathRefused, match="no upload of this job"):
            read(other, access, objects, uploads_prefix="input/mine/")

    def test_an_upload_does_not_lead_out_of_the_store(self, tmp_path: Path, access: Access) -> None:
        objects = open_objects(f"file://{tmp_path / 'objects'}")
        objects.put("input/mine/videos/00000", b"video")
        (tmp_path / "secret").write_bytes(b"secret")
        climbing = Video("a", "a", "object:input/mine/videos/../../../../secret")
        with pytest.raises(PathRefused, match="no upload of this job"):
            read(climbing, access, objects, uploads_prefix="input/mine/")

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path, access: Access) -> None:
        os.mkfifo(tmp_path / "a.mp4")
        ((video,), _) = listed(access, {"source": "path", "path": str(tmp_path)})
        with pytest.raises(PathRefused, match="is not a file"):
            read(video, access, open_objects("memory://"), uploads_prefix="x/")


class TestDownload:
    def test_the_video_at_an_address_arrives_whole(self, tmp_path: Path, server: WebServer) -> None:
        clip = write_clip(tmp_path / "a.mp4")
        url = server.serve("/clip.mp4", clip.read_bytes(), "video/mp4")
        with downloaded_video(server.redirect("/moved", url), access_with(tmp_path)) as path:
            assert path.read_bytes() == clip.read_bytes()
            assert probe_video(path).info.frame_count == 30
        assert not path.exists()

    def test_a_playlist_of_segments_is_followed(self, tmp_path: Path, server: WebServer) -> None:
        clip = write_clip(tmp_path / "a.ts")
        server.serve("/0.ts", clip.read_bytes(), "video/mp2t")
        playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n0.ts\n#EXT-X-ENDLIST\n"
        url = server.serve("/clip.m3u8", playlist.encode(), "application/vnd.apple.mpegurl")
        with downloaded_video(url, access_with(tmp_path)) as path:
            assert probe_video(path).info.frame_count == 30

    def test_private_addresses_are_refused(self, tmp_path: Path, server: WebServer) -> None:
        url = server.serve("/clip.mp4", b"secret", "video/mp4")
        with pytest.raises(AddressRefused, match="REELWORK_ALLOWED_NETWORKS"):
            download(url, access_with(tmp_path, REELWORK_ALLOWED_NETWORKS=""))
        assert server.requests == []

    def test_redirects_and_segments_on_private_addresses_are_refused(self, tmp_path: Path, server: WebServer) -> None:
        with web_server(OTHER_LOCALHOST) as inner:
            secret = inner.serve("/secret.ts", b"secret", "video/mp2t")
            playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{secret}\n#EXT-X-ENDLIST\n".encode()
            addresses = [
                server.redirect("/moved.mp4", inner.url("/secret.ts")),
                server.serve("/clip.m3u8", playlist, "application/vnd.apple.mpegurl"),
            ]
            for url in addresses:
                with pytest.raises(AddressRefused, match=OTHER_LOCALHOST), downloaded_video(url, access_with(tmp_path)):
                    pass
            assert inner.requests == []

    # (body, what the server calls it)
    @pytest.mark.parametrize("content_type", ["text/html", "video/mp4"])
    def test_a_web_page_is_no_video(self, tmp_path: Path, server: WebServer, content_type: str) -> None:
        url = server.serve("/clip.mp4", b"<!DOCTYPE html><title>Sign in</title><p>Please sign in.", content_type)
        with pytest.raises(DownloadRefused, match=r"answered with a web page \(HTML\)"):
            download(url, access_with(tmp_path))

    def test_something_else_is_no_video_once_it_is_read(self, tmp_path: Path, server: WebServer) -> None:
        url = server.serve("/clip.mp4", b"just text " * 100, "video/mp4")
        with downloaded_video(url, access_with(tmp_path)) as path, pytest.raises(UnsupportedMedia, match="no known"):
            probe_video(path)

    def test_what_names_its_size_is_refused_by_it(self, tmp_path: Path, server: WebServer) -> None:
        url = server.serve("/clip.mp4", bytes(300_000), "video/mp4")
        with pytest.raises(DownloadTooLarge, match=r"larger than.*REELWORK_DOWNLOAD_MAX_BYTES"):
            download(url, access_with(tmp_path, REELWORK_DOWNLOAD_MAX_BYTES=200_000))

    def test_an_endless_download_ends_at_its_size(self, tmp_path: Path, server: WebServer) -> None:
        server.routes["/clip.mp4"] = lambda _: Answer(
            content_type="video/mp4", chunks=itertools.repeat(b"\0\0\0\x18ftypisom" + bytes(65536))
        )
        with pytest.raises(DownloadTooLarge):
            download(server.url("/clip.mp4"), access_with(tmp_path, REELWORK_DOWNLOAD_MAX_BYTES=1 << 20))

    def test_a_download_that_trickles_ends_at_its_time(self, tmp_path: Path, server: WebServer) -> None:
        stop = threading.Event()

        def trickle() -> Iterator[bytes]:
            while not stop.wait(0.02):
                yield b"x"

        server.routes["/clip.mp4"] = lambda _: Answer(content_type="video/mp4", chunks=trickle())
        try:
            with pytest.raises(DownloadTooLarge, match="REELWORK_DOWNLOAD_SECONDS"):
                download(server.url("/clip.mp4"), access_with(tmp_path, REELWORK_DOWNLOAD_SECONDS=2))
        finally:
            stop.set()

    # (status, whether trying again may help)
    @pytest.mark.parametrize(("status", "error"), [(404, DownloadRefused), (503, DownloadUnavailable)])
    def test_what_is_not_there_is_told(
        self, tmp_path: Path, server: WebServer, status: int, error: type[Exception]
    ) -> None:
        server.routes["/clip.mp4"] = lambda _: Answer(status=status)
        with pytest.raises(error, match=str(status)), downloaded_video(server.url("/clip.mp4"), access_with(tmp_path)):
            pass

    def test_no_secret_reaches_the_program_that_downloads(
        self, tmp_path: Path, server: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """yt-dlp reads these variables; nothing of them may show."""
        monkeypatch.setenv("http_proxy", "http://127.0.0.9:1")
        monkeypatch.setenv("NETRC", "secret")
        clip = write_clip(tmp_path / "a.mp4", frames=2)
        seen: list[Request] = []

        def route(request: Request) -> Answer:
            seen.append(request)
            return Answer(clip.read_bytes(), "video/mp4")

        server.routes["/clip.mp4"] = route
        with downloaded_video(server.url("/clip.mp4"), access_with(tmp_path)):
            assert seen
            assert not [name for request in seen for name in request.headers if name.startswith(("proxy-", "auth"))]
