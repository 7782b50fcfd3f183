"""What a job of this pipeline is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from reelwork.errors import ConfigurationError
from reelwork.events import Source
from reelwork.ledger import Job
from reelwork.pipelines.match.access import Access, PathRefused
from reelwork.pipelines.match.sources import load_source
from reelwork.pipelines.match.videos import check_video_source, load_video_source
from reelwork.settings import Config
from reelwork.vision import model_path
from reelwork.vision.embedder import DEFAULT_ENCODER
from reelwork.vision.encoder_configuration import read_encoder_configuration

SOURCES_MAX: Final = 1_000
NEEDED_PACKAGES: Final = ("PIL", "onnx", "onnxruntime", "yt_dlp")
WEB: Final = ("http://", "https://")
CATALOGUE_SUFFIXES: Final = (".csv", ".jsonl", ".ndjson")

Masks = Literal["off", "products", "all"]


def _as_list(value: object) -> object:
    """One thing may stand for a list of one, and a form has text where JSON has an object."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            value = json.loads(value)
        except RecursionError:
            raise ValueError("this JSON is nested too deeply") from None
    return value if isinstance(value, list | tuple) else (value,)


def _product_source(given: object) -> object:
    """A text is a folder, or where a catalogue lies."""
    if not isinstance(given, str):
        return given
    if given.startswith(WEB) or given.lower().endswith(CATALOGUE_SUFFIXES):
        return {"source": "catalogue", "location": given}
    return {"source": "folder", "path": given}


def _video_source(given: object) -> object:
    """A text is an address, a file or a folder."""
    if not isinstance(given, str):
        return given
    return {"source": "url", "url": given} if given.startswith(WEB) else {"source": "path", "path": given}


_Listed = BeforeValidator(_as_list)
_Limited = Field(max_length=SOURCES_MAX)
ProductSources = Annotated[tuple[Annotated[Source, BeforeValidator(_product_source)], ...], _Listed, _Limited]
VideoSources = Annotated[tuple[Annotated[Source, BeforeValidator(_video_source)], ...], _Listed, _Limited]


class MatchParameters(BaseModel):
    """products, videos: where they come from. masks: what is cut out of its background.

    own_folders: folders that the job may read wherever their links lead, named by whoever runs the workers, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    products: ProductSources
    videos: VideoSources
    masks: Masks = Field(default_factory=lambda: Config().REELWORK_MATCH_MASKS)
    own_folders: tuple[str, ...] = ()


def parameters_of(job: Job) -> MatchParameters:
    return MatchParameters.model_validate(job.parameters)


def check_parameters(given: MatchParameters) -> None:
    """Refuses at submit what could not work later: PermanentErrors of sources, ModelMissing, ConfigurationError."""
    for package in NEEDED_PACKAGES:
        if find_spec(package) is None:
            raise ConfigurationError(f"{package} is not installed; fix it with: pip install 'reelwork[match]'")
    if given.own_folders and not Config().REELWORK_JOBS_NAME_FOLDERS:
        raise PathRefused("own_folders is for `reelwork match`; here, folders lie below REELWORK_SOURCE_FOLDERS")
    access = Access.of(Config(), given.own_folders)
    for source in given.products:
        load_source(source).check(access)
    for source in given.videos:
        check_video_source(load_video_source(source), access)
    check_encoder(Config().REELWORK_MATCH_ENCODER)


def check_encoder(name: str) -> None:
    """Raises ModelMissing or ConfigurationError for an image encoder that cannot be loaded here."""
    if name == DEFAULT_ENCODER:
        model_path(name)
    else:
        read_encoder_configuration(Path(name))


def access_of(job: Job) -> Access:
    """What a job may read on this machine."""
    return Access.of(Config(), job.parameters.get("own_folders", ()))


def uploaded(files: Mapping[str, str]) -> list[Source]:
    """Files that came with the job, as a source; object keys by file name."""
    return [{"source": "upload", "files": dict(files)}]


def masks_products(job: Job) -> bool:
    return bool(job.parameters["masks"] != "off")


def masks_videos(job: Job) -> bool:
    return bool(job.parameters["masks"] == "all")


def leaves_products(job: Job) -> bool:
    return not masks_products(job)


def leaves_videos(job: Job) -> bool:
    return not masks_videos(job)
