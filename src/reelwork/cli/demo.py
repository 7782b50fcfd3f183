"""`reelwork demo`: a real clip through the whole of Reelwork, with pictures to look at in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.cli.embedded_match import FinishedMatch
    from reelwork.cli.embedded_stereo import FinishedStereo
    from reelwork.cli.embedded_video import AnalyzedVideo

SAMPLE: Final = "bikes"
PIPELINE_ID: Final = "shots+objects"
WORKERS: Final = 2

OutputFolder = Annotated[
    Path, typer.Option("--output", metavar="DIR", file_okay=False, help="Folder for all it makes.")
]


def demo(output: OutputFolder = Path("demo-output"), as_json: options.Json = False) -> None:
    """Analyse a sample clip, find pictures that move through it, and make it 3D.

    Fetches the samples and the models' weights when they are not here yet. Writes contact-sheet.png (the shots, and the
    objects in them), results.json, match/report.html, 3d.mp4 and 3d.png (for red and cyan glasses), summary.json and
    the jobs' data.
    """
    from reelwork.cli.match_view import match_view
    from reelwork.cli.output import tell, tell_json
    from reelwork.cli.output_file import make_folder
    from reelwork.cli.pull import pull
    from reelwork.cli.stereo_view import stereo_view
    from reelwork.cli.summary import read_results, summarize
    from reelwork.cli.summary_view import completions_view, summary_view
    from reelwork.vision import pull_model, pull_sample

    make_folder(output, option="--output")
    video = pull(SAMPLE, pull_sample)
    pull("efficientdet-lite0", pull_model)
    results = output / "results.json"
    finished = _run(video, output / "data", results, lines_instead=not as_json)
    summary = summarize(results, finished.index)
    sheet = output / "contact-sheet.png"
    _draw(sheet, video, finished, list(read_results(results)), summary.shots)
    if not as_json:
        tell(*summary_view(f"{SAMPLE}.mp4", summary, finished), *completions_view(finished))
        tell(f"Look at {sheet}; all results are in {results}.\n")
    matched, said = _match(video, output, lines_instead=not as_json)
    if not as_json:
        tell(*match_view(matched), *completions_view(matched), *said)
        tell(f"Look at {output / 'match' / 'report.html'}.\n")
    stereo = _make_3d(video, output, lines_instead=not as_json)
    document = {
        **_document(finished, summary.frames),
        "match": _document_of_match(matched, said),
        "stereo": _document_of_stereo(stereo),
    }
    (output / "summary.json").write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        tell_json(document)
        return
    tell(*stereo_view(stereo), *completions_view(stereo))
    tell(f"Look at {output / '3d.png'}; with red and cyan glasses, at {output / '3d.mp4'}.")


def _run(video: Path, data: Path, results: Path, *, lines_instead: bool) -> AnalyzedVideo:
    from reelwork.cli.embedded import embedded_config
    from reelwork.cli.embedded_video import analyze_embedded
    from reelwork.cli.output import progress_bar

    with embedded_config(data) as config, progress_bar(SAMPLE, lines_instead=lines_instead) as report:
        parameters = {"pipeline_id": PIPELINE_ID}
        return analyze_embedded(config, video, parameters, workers=WORKERS, results=results, report=report)


def _match(video: Path, output: Path, *, lines_instead: bool) -> tuple[FinishedMatch, list[str]]:
    """What was found, and how it compares with what is there."""
    from reelwork.cli.demo_match import PRODUCTS, compare, write_shelf
    from reelwork.cli.embedded import embedded_config
    from reelwork.cli.embedded_match import match_embedded
    from reelwork.cli.phase_bars import phase_bars
    from reelwork.cli.pull import pull
    from reelwork.vision import pull_model, pull_sample

    pull("efficientnet-lite0", pull_model)
    samples = {name: pull(name, pull_sample) for name in PRODUCTS}
    products, videos = write_shelf(output / "shelf", video, samples)
    out = output / "match"
    out.mkdir(exist_ok=True)
    with embedded_config(output / "data") as config, phase_bars(lines_instead=lines_instead) as show:
        finished = match_embedded(
            config, [str(products)], [str(videos)], masks="off", out=out, workers=WORKERS, show=show
        )
    return finished, compare(finished)


def _make_3d(video: Path, output: Path, *, lines_instead: bool) -> FinishedStereo:
    from reelwork.cli.demo_stereo import make_3d
    from reelwork.cli.embedded import embedded_config
    from reelwork.cli.pull import pull
    from reelwork.vision import pull_model

    pull("fastdepth", pull_model)
    with embedded_config(output / "data") as config:
        return make_3d(config, video, output, workers=WORKERS, lines_instead=lines_instead)


def _document_of_stereo(finished: FinishedStereo) -> dict[str, Any]:
    known = {"job_id": finished.detail.job.job_id, "status": finished.detail.job.status}
    return {**known, "completions": finished.completions, "segments": finished.segments, "result": finished.account}


def _document_of_match(finished: FinishedMatch, said: list[str]) -> dict[str, Any]:
    known = {"job_id": finished.detail.job.job_id, "status": finished.detail.job.status}
    return {**known, "completions": finished.completions, "results": finished.results, "compared": said}


def _document(finished: AnalyzedVideo, frames: int) -> dict[str, Any]:
    job = finished.detail.job
    return {"job_id": job.job_id, "status": job.status, "frames": frames, "completions": finished.completions}


def _draw(path: Path, video: Path, finished: AnalyzedVideo, frames: list[dict[str, Any]], shots: list[Any]) -> None:
    from reelwork.cli.demo_sheet import write_sheet
    from reelwork.vision.contact_sheet import timecode

    known = finished.detail.job.parameters["input"]
    subtitle = (
        f"{timecode(known['duration_seconds'])} · {len(frames)} frames · {len(shots)} shots · analysed by Reelwork"
    )
    write_sheet(path, video, finished.index, frames, shots, title=f"{SAMPLE}.mp4", subtitle=subtitle)
