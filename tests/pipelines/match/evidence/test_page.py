from __future__ import annotations

import re
from html.parser import HTMLParser

from reelwork.pipelines.match.evidence import Report, ReportMatch, ReportProduct, ReportVideo, report_html
from reelwork.pipelines.match.matching import Match, Pair

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects links, ids, sources and words; fails on tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.bars: list[str] = []
        self.words = ""
        self.tags: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.links += [given["href"] or ""] if "href" in given else []
        self.ids += [given["id"] or ""] if "id" in given else []
        self.sources += [given["src"] or ""] if "src" in given else []
        self.bars += [given["style"] or ""] if tag == "i" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def _match(product: str, video: str, score: float, *spans: tuple[float, float]) -> Match:
    pair = Pair(image_id="i", frame_id="f", ts=spans[0][0], inliers=31, homography=None, inlier_points=())
    return Match(product_id=product, video_id=video, score=score, method="geometry", best_pair=pair, spans=spans)


def _report(**changes: object) -> Report:
    given: dict[str, object] = {
        "job_id": "4711",
        "products": [ReportProduct("box", "A box", b"\xff\xd8thumb"), ReportProduct("jar", "A jar")],
        "videos": [ReportVideo("v1", "kitchen.mp4", 40), ReportVideo("v2", "street.mp4", 20)],
        "matches": [
            ReportMatch(_match("jar", "v2", 0.71, (5, 10)), b"\xff\xd8two"),
            ReportMatch(_match("box", "v1", 0.98, (10, 20), (30, 40)), b"\xff\xd8one"),
        ],
    }
    return Report(**{**given, **changes})  # type: ignore[arg-type]


def test_needs_nothing_from_elsewhere() -> None:
    text = report_html(_report())
    page = Page(text)
    assert page.tags.isdisjoint({"script", "link", "iframe"})
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)
    assert "url(" not in text
    assert "http" not in text


def test_every_link_leads_to_its_evidence() -> None:
    page = Page(report_html(_report()))
    assert {link.removeprefix("#") for link in page.links} == {name for name in page.ids if name.startswith("m")}


def test_the_surest_comes_first() -> None:
    page = Page(report_html(_report()))
    evidence = page.words[page.words.index("Evidence") :]
    assert evidence.index("A box") < evidence.index("A jar")


def test_timelines_are_to_scale() -> None:
    page = Page(report_html(_report()))
    bars = {tuple(float(number) for number in re.findall(r"[\d.]+", style)) for style in page.bars}
    assert bars == {(25.0, 25.0), (75.0, 25.0)} | {(25.0, 25.0)}  # 10 to 20 and 30 to 40 of 40 s, 5 to 10 of 20 s
    assert len(page.bars) == 3


def test_what_people_wrote_is_shown_not_run() -> None:
    evil = '<script>alert("1")</script>'
    report = _report(
        products=[ReportProduct("box", evil)],
        videos=[ReportVideo("v1", evil, 40, note=evil)],
        matches=[ReportMatch(_match("box", "v1", 0.9, (0, 1)))],
        notes=[evil],
        title=evil,
        job_id=evil,
    )
    page = Page(report_html(report))
    assert "script" not in page.tags
    assert page.words.count(evil) >= 5


def test_a_job_that_found_nothing_says_so() -> None:
    words = Page(report_html(_report(matches=[], notes=["No product had a usable picture."]))).words
    assert "0 matches" in words
    assert "No product had a usable picture." in words
    assert words.count("none of the products was found") == 2


def test_no_products_and_no_videos() -> None:
    assert "0 matches" in Page(report_html(_report(matches=[], products=[], videos=[]))).words
