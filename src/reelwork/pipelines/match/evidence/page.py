"""The report of a job as one page that needs nothing else: products by videos, timelines, pictures. No script."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from reelwork.pipelines.match.evidence.style import STYLE
from reelwork.pipelines.match.matching import Match
from reelwork.vision.contact_sheet import timecode

SURE_FROM, LIKELY_FROM = 0.9, 0.7
TIMELINE_TICKS = 4


@dataclass(frozen=True)
class ReportProduct:
    """`picture` is a JPEG, shown small."""

    product_id: str
    title: str
    picture: bytes | None = None


@dataclass(frozen=True)
class ReportVideo:
    """`note` says why a video has nothing to show, when that has a reason."""

    video_id: str
    title: str
    duration_seconds: float
    note: str = ""


@dataclass(frozen=True)
class ReportMatch:
    """`picture` is the JPEG of `evidence_picture`; without one only the numbers are shown."""

    match: Match
    picture: bytes | None = None


@dataclass(frozen=True)
class Report:
    """All that the page tells. `notes` are sentences shown on top: what failed, what was left out, why it is empty."""

    job_id: str
    products: Sequence[ReportProduct]
    videos: Sequence[ReportVideo]
    matches: Sequence[ReportMatch]
    title: str = "Products found in videos"
    notes: Sequence[str] = field(default_factory=tuple)


def report_html(report: Report) -> str:
    """The page, UTF-8. Matches come surest first; whatever people wrote is escaped."""
    ordered = sorted(report.matches, key=lambda one: (-one.match.score, one.match.product_id, one.match.video_id))
    numbers = {(one.match.product_id, one.match.video_id): number for number, one in enumerate(ordered)}
    parts = [
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(report.title)}</title>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body><main>",
        _head(report, ordered),
        _matrix(report, ordered, numbers),
        _timelines(report, ordered, numbers),
        _cards(report, ordered),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _head(report: Report, matches: Sequence[ReportMatch]) -> str:
    found = len({one.match.product_id for one in matches})
    word = "match" if len(matches) == 1 else "matches"
    sums = (
        f"<b>{len(matches)}</b> {word}: <b>{found}</b> of {len(report.products)} "
        f"products in <b>{len({one.match.video_id for one in matches})}</b> of {len(report.videos)} videos"
    )
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in report.notes)
    title, job = escape(report.title), escape(report.job_id)
    return f"<header><h1>{title}</h1><p>{sums}</p><p class=muted>job {job}</p>{notes}</header>"


def _matrix(report: Report, matches: Sequence[ReportMatch], numbers: dict[tuple[str, str], int]) -> str:
    if not report.products or not report.videos:
        return ""
    scores = {(one.match.product_id, one.match.video_id): one.match.score for one in matches}
    head = "".join(f"<th scope=col><span>{escape(video.title)}</span></th>" for video in report.videos)
    rows = []
    for product in report.products:
        cells = []
        for video in report.videos:
            key = (product.product_id, video.video_id)
            if key in scores:
                score = scores[key]
                cells.append(f'<td><a class="{_grade(score)}" href="#m{numbers[key]}">{score:.2f}</a></td>')
            else:
                cells.append("<td class=none>·</td>")
        name = f"<th scope=row>{_thumbnail(product)}<span>{escape(product.title)}</span></th>"
        rows.append(f"<tr>{name}{''.join(cells)}</tr>")
    return (
        "<section><h2>Products by videos</h2><div class=wide><table class=matrix>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        "<p class=muted>A number is the probability that the product is in the video; it leads to its evidence. "
        "A dot: not found.</p></section>"
    )


def _timelines(report: Report, matches: Sequence[ReportMatch], numbers: dict[tuple[str, str], int]) -> str:
    titles = {product.product_id: product.title for product in report.products}
    parts = []
    for video in report.videos:
        mine = [one.match for one in matches if one.match.video_id == video.video_id]
        mine.sort(key=lambda match: match.spans[0] if match.spans else (match.best_pair.ts,) * 2)
        lasts = max([video.duration_seconds, 0.001, *(end for match in mine for _, end in match.spans)])
        rows = [_timeline(match, titles.get(match.product_id, match.product_id), lasts, numbers) for match in mine]
        if not rows:
            rows = [f"<p class=muted>{escape(video.note or 'none of the products was found')}</p>"]
        ticks = "".join(f"<span>{timecode(lasts * tick / TIMELINE_TICKS)}</span>" for tick in range(TIMELINE_TICKS + 1))
        scale = f"<div class=line><span></span><div class=ticks>{ticks}</div></div>" if mine else ""
        parts.append(f"<article class=video><h3>{escape(video.title)}</h3>{''.join(rows)}{scale}</article>")
    return f"<section><h2>When</h2>{''.join(parts)}</section>" if parts else ""


def _timeline(match: Match, title: str, lasts: float, numbers: dict[tuple[str, str], int]) -> str:
    bars = []
    for start, end in match.spans:
        left, width = 100 * max(start, 0) / lasts, 100 * max(end - start, 0) / lasts
        words = f"{timecode(start)} to {timecode(end)}"
        bars.append(
            f'<i class="{_grade(match.score)}" style="left:{left:.2f}%;width:{width:.2f}%" title="{words}"></i>'
        )
    best = f'<b style="left:{100 * match.best_pair.ts / lasts:.2f}%" title="best: {timecode(match.best_pair.ts)}"></b>'
    link = numbers[match.product_id, match.video_id]
    return f'<div class=line><a href="#m{link}">{escape(title)}</a><div class=bar>{"".join(bars)}{best}</div></div>'


def _cards(report: Report, matches: Sequence[ReportMatch]) -> str:
    if not matches:
        return ""
    products = {product.product_id: product.title for product in report.products}
    videos = {video.video_id: video.title for video in report.videos}
    cards = []
    for number, one in enumerate(matches):
        match = one.match
        product, video = products.get(match.product_id, match.product_id), videos.get(match.video_id, match.video_id)
        spans = ", ".join(f"{timecode(start)} to {timecode(end)}" for start, end in match.spans)
        how = (
            f"{match.best_pair.inliers} places found again"
            if match.method == "geometry"
            else "alike as a whole; too plain to verify place by place"
        )
        shown = f"{escape(product)} in {escape(video)} at {timecode(match.best_pair.ts)}"
        picture = f'<img loading=lazy alt="{shown}" src="{_data(one.picture)}">' if one.picture else ""
        cards.append(
            f'<article class=card id="m{number}"><h3>{escape(product)} <small>in</small> {escape(video)} '
            f'<span class="{_grade(match.score)}">{match.score:.2f}</span></h3>'
            f"<p class=muted>best at {timecode(match.best_pair.ts)}; seen {spans}; {how}</p>{picture}</article>"
        )
    return f"<section><h2>Evidence</h2>{''.join(cards)}</section>"


def _thumbnail(product: ReportProduct) -> str:
    return f'<img alt="" src="{_data(product.picture)}">' if product.picture else ""


def _data(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _grade(score: float) -> str:
    return "sure" if score >= SURE_FROM else "likely" if score >= LIKELY_FROM else "maybe"
