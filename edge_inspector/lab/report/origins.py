"""Where the bundle comes from: its calibration, its training, and what both were made with."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from edge_inspector import __version__
from edge_inspector.bundle import Bundle, CalibrationCard, SyntheticDefectRate
from edge_inspector.engines.openvino import ENGINE
from edge_inspector.errors import DataError
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.lab.evaluation.evaluation import Evaluation
from edge_inspector.lab.evaluation.metrics import Rate
from edge_inspector.lab.machine import processor
from edge_inspector.lab.report.charts import level_chart, training_chart
from edge_inspector.lab.report.markup import Content, Markup, facts, figure, join, rate, section, table, tag

HISTORY = "history.csv"


def calibration_section(bundle: Bundle) -> Markup:
    """Return the bound, the levels that it comes from, and the synthetic defects that it would find."""
    card, decision = bundle.manifest.calibration, bundle.recipe.decision
    limits = [(decision.threshold, f"threshold {decision.threshold:.4g}")]
    if decision.review is not None:
        limits.append((decision.review, f"review {decision.review:.4g}"))
    return section(
        "Calibration card",
        "The limit comes from the scores of the good images, each by a model that had not seen it."
        if card.estimated
        else "The threshold comes from images of good parts that nothing else has used, and that were used once.",
        tag("blockquote", card.in_words()),
        tag(
            "div",
            figure(level_chart(card.levels, limits), "Levels of the good parts that set the threshold"),
            facts(
                (
                    ("threshold", f"{decision.threshold:.6g}"),
                    ("smallest blob", f"{decision.min_area:.4g} camera pixels, {bundle.recipe.min_area_px} of the map"),
                    ("good parts (groups)", card.groups),
                    ("images", len(card.digests)),
                    ("above the limit" if card.estimated else "allowed above the threshold", card.exceedances),
                    ("confidence", f"{card.confidence:.0%}"),
                    ("calibrated", _minute(card.created)),
                    ("calibration", tag("code", card.id)),
                )
            ),
            class_="pair",
        ),
        *(_synthetic_table(card) if card.synthetic else ()),
    )


def _synthetic_table(card: CalibrationCard) -> Iterator[Markup]:
    columns = sorted({(one.size, one.contrast) for one in card.synthetic})
    kinds = sorted({one.kind for one in card.synthetic})

    def row(name: str, synthetic: Sequence[SyntheticDefectRate]) -> list[Content]:
        cells = (_found(one for one in synthetic if (one.size, one.contrast) == column) for column in columns)
        return [name, *map(_shaded, cells), rate(_found(synthetic))]

    yield tag("h3", "Synthetic defects found at this threshold")
    yield tag(
        "p",
        "Size is a share of the image's shorter side, contrast is in grey values; components have none.",
        class_="lead",
    )
    yield table(
        ["kind", *(f"{size:.0%}, {contrast:.0f}" if contrast else f"{size:.0%}" for size, contrast in columns), "all"],
        [
            *(row(kind, [one for one in card.synthetic if one.kind == kind]) for kind in kinds),
            row("all", card.synthetic),
        ],
        class_="synthetic",
    )


def _found(synthetic: Iterable[SyntheticDefectRate]) -> Rate:
    chosen = tuple(synthetic)
    return Rate(sum(one.found for one in chosen), sum(one.synthetic for one in chosen))


def _shaded(found: Rate) -> Markup:
    """Return a count on a ground that is the darker the more was found; where none was drawn, a dash."""
    if not found.parts:
        return tag("span", "-")
    step = round(10 * found.value)
    return tag("span", f"{found.hits}/{found.parts}", class_=f"shade s{step}")


def training_section(bundle: Bundle) -> Markup:
    """Return the training's curves; nothing where the bundle keeps no history.

    The history is a CSV file: the first column counts steps or epochs, each other one is a quantity; `val_<quantity>`
    is drawn beside `<quantity>`.

    Raises:
        DataError: the history holds what is not a number.
    """
    if HISTORY not in bundle.manifest.files:
        return Markup("")
    names, rows = _history(bundle.path / HISTORY)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    steps = columns.pop(names[0])
    charts = [
        figure(training_chart(name, names[0], steps, [values, *_validation(columns, name)]), name)
        for name, values in columns.items()
        if not name.startswith("val_")
    ]
    return section(
        "Training",
        "The weights that are kept are those that find synthetic defects best, not those of the lowest loss. Where "
        "there is a second, dashed line, it is of images that did not train.",
        tag("div", *charts, class_="charts"),
    )


def _validation(columns: dict[str, tuple[float, ...]], name: str) -> list[tuple[float, ...]]:
    return [columns[f"val_{name}"]] if f"val_{name}" in columns else []


def _history(path: Path) -> tuple[list[str], list[list[float]]]:
    head, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    try:
        return head, [[float(cell) for cell in row] for row in rows]
    except ValueError as error:
        raise DataError(f"{path}: expected numbers below its head, {error}") from error


def provenance_section(bundle: Bundle, evaluation: Evaluation, data: Path, now: datetime) -> Markup:
    """Return what somebody needs who must get the same figures again."""
    manifest, made = bundle.manifest, bundle.manifest.provenance
    settings = ", ".join(f"{key} {value}" for key, value in manifest.detector.settings.items())
    recipe, calibrate = bundle.recipe, len(manifest.calibration.digests)
    rows: tuple[tuple[str, Content], ...] = (
        ("part", recipe.part),
        ("bundle", join([tag("code", bundle.id), f" in {bundle.path}"])),
        ("detector", f"{manifest.detector.kind}: {settings}"),
        ("image", f"{recipe.width}x{recipe.height}, {recipe.channels} channel(s), normalise {recipe.normalise}"),
        *(_looked_at(recipe)),
        ("precision, engine", f"{manifest.detector.precision_in_words()}; {manifest.detector.engine}"),
        ("trained", f"{_minute(made.created)} in {made.seconds:.0f} s, {made.steps} steps, seed {made.seed}"),
        ("trained by", f"{made.program}; {', '.join(f'{name} {version}' for name, version in made.libraries.items())}"),
        ("trained on", made.processor),
        ("images", f"{len(made.fit_digests)} fit, {len(made.tune_digests)} tune, {calibrate} calibrate"),
        ("evaluated", f"{_minute(now)} by edge-inspector {__version__}, {ENGINE}, rule {evaluation.rule}"),
        ("evaluated on", processor()),
        ("test images", f"{len(evaluation.judged)} in {data}; none of them trained or calibrated the bundle"),
    )
    return section(
        "Provenance",
        "What it takes to get the same figures again.",
        facts(rows),
        tag("h3", "Files of the bundle"),
        table(["file", "sha256"], _files(manifest.files), class_="digests"),
    )


def _looked_at(recipe: Recipe) -> Iterator[tuple[str, Content]]:
    if recipe.align is not None:
        align = recipe.align
        yield (
            "aligned",
            f"{align.kind}, rotation up to {align.max_rotation:g} degrees, correlation {align.least:g} or more",
        )
    for unit in recipe.units:
        yield (
            "region",
            f"{unit.region}, smallest blob {unit.min_area:g} camera pixels, typical level {unit.typical:.4g}",
        )


def _files(files: Mapping[str, str]) -> Sequence[Sequence[Content]]:
    return [[name, tag("code", digest)] for name, digest in files.items() if not name.startswith("golden/")]


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"
