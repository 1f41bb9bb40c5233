"""Put the sections into one page, and the page into one file."""

from datetime import datetime
from importlib.resources import files
from pathlib import Path

from edge_inspector import atomic
from edge_inspector.bundle import Bundle
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.lab.evaluation.evaluation import PREVALENCE, Evaluation
from edge_inspector.lab.report.images import images_section
from edge_inspector.lab.report.markup import Markup, render, tag
from edge_inspector.lab.report.origins import calibration_section, provenance_section, training_section
from edge_inspector.lab.report.results import curves_section, places_section, summary, verdicts_section

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is fetched, whatever a file name says."""


def write_report(
    out: Path,
    bundle: Bundle,
    inspector: Inspector,
    evaluation: Evaluation,
    *,
    data: Path,
    now: datetime,
    prevalence: float = PREVALENCE,
) -> None:
    """Write the report of an evaluation as one HTML file.

    Args:
        out: the file; one that exists is replaced.
        bundle: what was evaluated.
        inspector: of that bundle; judges the shown parts once more, since an evaluation keeps no images.
        evaluation: its figures.
        data: folder of the test images, to be named.
        now: goes into the page.
        prevalence: share of defective parts on a line.

    Raises:
        OSError: the file cannot be written.
    """
    decision = bundle.recipe.decision
    limits = [(1.0, "limit")]
    if decision.review is not None and evaluation.rule == "calibrated":
        limits.append((decision.review / decision.threshold, "review"))
    part = bundle.recipe.part
    about = f"{bundle.manifest.detector.kind}, bundle {bundle.id}, {len(evaluation.judged)} test images, {now:%d %B %Y}"
    body = (
        tag("header", tag("p", "edge-inspector", class_="brand"), tag("h1", f"Evaluation of {part}"), tag("p", about)),
        summary(bundle, evaluation, prevalence),
        curves_section(evaluation, tuple(limits)),
        verdicts_section(evaluation),
        images_section(bundle, inspector, evaluation),
        places_section(evaluation, prevalence),
        calibration_section(bundle),
        training_section(bundle),
        provenance_section(bundle, evaluation, data, now),
    )
    atomic.write_file(out, _page(f"Evaluation of {part}, {now:%Y-%m-%d}", body).encode())


def _page(title: str, body: tuple[Markup, ...]) -> str:
    style = (files(__package__) / "style.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"{render(tag('title', title))}<style>{style}</style>"
    )
    content = "\n".join(map(render, body))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>{content}</main></body></html>\n'
