"""What convinces a person: a picture for each match, one page for each job. It knows pictures and matches, no store."""

from reelwork.pipelines.match.evidence.outline import outline_of
from reelwork.pipelines.match.evidence.page import Report, ReportMatch, ReportProduct, ReportVideo, report_html
from reelwork.pipelines.match.evidence.picture import draw_evidence, evidence_picture

__all__ = [
    "Report",
    "ReportMatch",
    "ReportProduct",
    "ReportVideo",
    "draw_evidence",
    "evidence_picture",
    "outline_of",
    "report_html",
]
