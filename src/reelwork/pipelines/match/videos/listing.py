"""Lists the videos of a job: files, folders, addresses and uploads, each with an id that stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources import BrokenEntry, SourceUnusable
from reelwork.pipelines.match.sources.product import NO_TEXT, is_text, product_id_of, short_hash
from reelwork.pipelines.match.sources.upload import OBJECT_SCHEME
from reelwork.pipelines.match.sources.walk import walked

VIDEOS_MAX: Final = 10_000
TITLE_CHARACTERS_MAX: Final = 200
"""An address may be its own title."""
NUMBER_PARAMETER: Final = "v"
NUMBER: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
"""By `watch?v=...` the large platforms tell their videos apart."""
VIDEO_SUFFIXES: Final = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg"),
        *(".flv", ".wmv", ".asf", ".ogv", ".mxf", ".nut", ".3gp"),
    )
)


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PathSource(_Source):
    """A video file, or a folder whose videos are meant, below a folder that jobs may read."""

    source: Literal["path"] = "path"
    path: str


class UrlSource(_Source):
    """The http(s) address of a video, or of a page with one that yt-dlp knows."""

    source: Literal["url"] = "url"
    url: str


class UploadedSource(_Source):
    """files: object keys by the names that the user's files have."""

    source: Literal["upload"] = "upload"
    files: dict[str, str]


VideoSource = Annotated[PathSource | UrlSource | UploadedSource, Field(discriminator="source")]
_SOURCE: TypeAdapter[VideoSource] = TypeAdapter(VideoSource)


@dataclass(frozen=True, slots=True)
class Video:
    """video_id: unique within a job, the same on every reading, fit for object keys. title: what the user calls it.

    location: an absolute path, an http(s) address, or `object:` and an object key. name: the title with folders and
    suffix, for when several have one title.
    """

    video_id: str
    title: str
    location: str
    name: str = ""


def load_video_source(given: Mapping[str, Any]) -> PathSource | UrlSource | UploadedSource:
    """SourceUnusable for what is no source of videos."""
    try:
        return _SOURCE.validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise SourceUnusable(f"a source of videos: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def check_video_source(source: PathSource | UrlSource | UploadedSource, access: Access) -> None:
    """Refuses at submit what cannot work later, without asking anyone."""
    match source:
        case PathSource(path=path):
            access.path(path)
        case UrlSource(url=url):
            access.fetcher.guard.check_url(url)


def list_videos(
    sources: Iterable[PathSource | UrlSource | UploadedSource], access: Access, *, videos_max: int = VIDEOS_MAX
) -> Iterator[Video | BrokenEntry]:
    """Every video once, at most `videos_max`; what is broken or left out is told in its place.

    PathRefused and DownloadRefused end the listing. Whether a file is a video is found out when it is read.
    """
    ids: set[str] = set()
    locations: set[str] = set()
    for number, source in enumerate(sources):
        for found in _found(source, access):
            if isinstance(found, BrokenEntry):
                yield found
                continue
            title, location, name = found
            if not is_text(title + location + name):
                yield BrokenEntry(location, NO_TEXT)
                continue
            if location in locations:
                continue
            if len(ids) == videos_max:
                yield BrokenEntry("videos", f"there are more than {videos_max} videos; the rest is left out")
                return
            video_id = product_id_of(title)
            while video_id in ids:  # two files of one name
                video_id = f"{product_id_of(title)}-{short_hash(f'{number}/{location}/{video_id}')}"
            ids.add(video_id)
            locations.add(location)
            yield Video(video_id, title[:TITLE_CHARACTERS_MAX], location, name)


def _found(
    source: PathSource | UrlSource | UploadedSource, access: Access
) -> Iterator[tuple[str, str, str] | BrokenEntry]:
    """Titles, locations and full names."""
    match source:
        case PathSource(path=text):
            path = access.path(text)
            if path.is_dir():
                yield from _in_folder(path)
            else:
                yield path.stem, str(path), str(path)
        case UrlSource(url=url):
            access.fetcher.guard.check_url(url)
            parts = urlsplit(url)
            yield title_of_url(url), url, f"{parts.hostname or ''}{unquote(parts.path)}"
        case UploadedSource(files=files):
            if not files:
                yield BrokenEntry("upload", "no video was uploaded")
            for name, key in files.items():
                plain = name.replace("\\", "/")
                yield PurePath(plain).stem or name, f"{OBJECT_SCHEME}{key}", plain


def is_video_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")


def title_of_url(url: str) -> str:
    """The file's name without its suffix; where the path ends in none, host and path, and the video's number on a
    video platform. The rest of a query is nobody's business: it may hold a token.
    """
    parts = urlsplit(url)
    name = PurePath(unquote(parts.path))
    if name.suffix.lower() in VIDEO_SUFFIXES:
        return name.stem
    numbers = [value for key, value in parse_qsl(parts.query) if key == NUMBER_PARAMETER and NUMBER.fullmatch(value)]
    query = f"?{NUMBER_PARAMETER}={numbers[0]}" if numbers else ""
    return f"{parts.hostname or ''}{parts.path}{query}"


def _in_folder(folder: Path) -> Iterator[tuple[str, str, str] | BrokenEntry]:
    """All videos in a folder and in those inside it."""
    empty = True
    for found in walked(folder, is_video_name):
        empty = False
        yield found if isinstance(found, BrokenEntry) else (found.stem, str(found), str(found))
    if empty:
        yield BrokenEntry(str(folder), "the folder holds no videos; put MP4, MOV, MKV, WebM or AVI files into it")
