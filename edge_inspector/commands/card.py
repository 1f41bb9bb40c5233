"""The bound on the false-reject rate of a bundle, and where it comes from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_inspector.bundle import Bundle, CalibrationCard, Outlier

_KNOWN = {"fit": "trained the network", "tune": "tuned it", "calibrate": "set the threshold"}


def card(
    bundle: Annotated[Path, typer.Argument(help="Bundle to show.")],
    plot: Annotated[
        Path | None, typer.Option(help="SVG file for the plot of the calibration scores.", show_default="none")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print a bundle's calibration card: bounds, synthetic defects found, outliers; exit 1 when unfit."""
    from edge_inspector import atomic
    from edge_inspector.bundle import read_bundle
    from edge_inspector.lab.calibration.card_plot import draw_card

    opened = read_bundle(bundle)
    if plot is not None:
        atomic.write_file(plot, draw_card(opened.manifest.calibration, opened.recipe.decision.review))
    print_bundle(opened, as_json=as_json)
    if not as_json:
        for line in _synthetic_table(opened.manifest.calibration):
            typer.echo(line)
    if opened.manifest.calibration.unfit:
        raise typer.Exit(FINDING)


def print_bundle(bundle: "Bundle", *, as_json: bool) -> None:
    """Print a bundle's bounds and what they come from."""
    card = bundle.manifest.calibration
    if as_json:
        print_json(_as_json(bundle))
        return
    typer.echo(f"{bundle.path}: bundle {bundle.id} for part {bundle.recipe.part}")
    typer.echo(card.in_words())
    for words in card.bounds_in_words():
        typer.echo(f"  {words}")
    for lines in (_excluded(card), _outliers(card), _area_pairs(card)):
        for line in lines:
            typer.echo(line)
    for words, members in (
        ("Synthetic defects", [one for one in card.synthetic if one.contrast]),
        ("Components missing, twice or swapped", [one for one in card.synthetic if not one.contrast]),
    ):
        if members:
            found, drawn = sum(one.found for one in members), sum(one.synthetic for one in members)
            typer.echo(f"{words} found at the threshold: {found} of {drawn}.")
    typer.echo(f"The network runs in {bundle.manifest.detector.precision_in_words()}.")
    for note in (*card.notes, *filter(None, [bundle.litter_in_words()])):
        typer.echo(f"NOTE: {note}")


def _as_json(bundle: "Bundle") -> dict[str, object]:
    from edge_inspector.lab.evaluation.metrics import Rate

    card, provenance = bundle.manifest.calibration, bundle.manifest.provenance
    dumped = json.loads(card.model_dump_json(exclude={"digests", "levels", "images", "ng_digests", "synthetic"}))
    synthetic = [
        {
            **one.model_dump(),
            "rate_low": Rate(one.found, one.synthetic).low,
            "rate_high": Rate(one.found, one.synthetic).high,
        }
        for one in card.synthetic
    ]
    return {
        "bundle": str(bundle.path),
        "id": bundle.id,
        "part": bundle.recipe.part,
        "litter": bundle.litter,
        "min_area": bundle.recipe.decision.min_area,
        "calibration": {**dumped, "planted": synthetic},
        "steps": provenance.steps,
        "seconds": provenance.seconds,
    }


def _excluded(card: "CalibrationCard") -> "Iterator[str]":
    for one in card.excluded:
        note = f": {one.note}" if one.note else ""
        why = f"defective, says {one.marked_by}{note}" if one.marked_by else "nobody says why: counted as rejected"
        yield f"Excluded: {one.image} ({why})."


def _outliers(card: "CalibrationCard") -> "Iterator[str]":
    if card.outliers:
        yield "Outliers among the good images (score 1.0 is the limit); a bad part among them spoils everything:"
    for used_for, words in _KNOWN.items():
        members = [one for one in card.outliers if one.used_for == used_for]
        if members:
            yield f"  {words}{'' if used_for == 'calibrate' else ' (the detector knows them, scores are low)'}:"
            yield from (f"    {_shown(one)}  {one.image}" for one in members)


def _shown(outlier: "Outlier") -> str:
    return "INVALID" if outlier.score is None else f"{outlier.score:7.2f}"


def _area_pairs(card: "CalibrationCard") -> "Iterator[str]":
    if card.area_pairs:
        yield "Minimum area (camera pixels), threshold by tune images, NG images missed:"
    for pair in card.area_pairs:
        mark = "  <- chosen" if pair.chosen else ""
        yield f"  {pair.min_area:10.1f} {pair.threshold:10.3g} {pair.missed:5} of {pair.defective}{mark}"


def _synthetic_table(card: "CalibrationCard") -> "Iterator[str]":
    """Yield the synthetic defects found by size and contrast, over all kinds with bounds, and for each kind."""
    from edge_inspector.lab.evaluation.metrics import Rate

    strengths = sorted({(one.size, one.contrast) for one in card.synthetic})
    kinds = sorted({one.kind for one in card.synthetic})
    yield f"{'size':>5} {'contrast':>9}  {'all kinds, 95 % bounds':<34}" + "".join(f"{kind:>11}" for kind in kinds)
    for size, contrast in strengths:
        members = [one for one in card.synthetic if (one.size, one.contrast) == (size, contrast)]
        rate = Rate(sum(one.found for one in members), sum(one.synthetic for one in members))
        shown = f"{rate.hits:>3} of {rate.parts:<3} {rate.value:4.0%} ({rate.low:.0%} to {rate.high:.0%})"
        each = {one.kind: f"{one.found}/{one.synthetic}" for one in members}
        grey = f"{contrast:.0f}" if contrast else "-"
        yield f"{size:>5.0%} {grey:>9}  {shown:<34}" + "".join(f"{each.get(kind, '-'):>11}" for kind in kinds)
