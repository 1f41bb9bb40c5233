"""Commands that say how good a bundle is: against the truth, beside another one, and with the same part again."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import (
    FINDING,
    CsvOption,
    JsonFlag,
    check_csv,
    now,
    open_bundle,
    print_json,
    progress,
    write_csv,
)
from edge_inspector.errors import UsageError

if TYPE_CHECKING:
    from edge_inspector.lab.evaluation.compare import Comparison
    from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged
    from edge_inspector.lab.evaluation.repeatability import Repeatability

_NAMED = 5
"""Flips of each kind that are named; --json names all."""


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    data: Annotated[Path, typer.Argument(help="Folder with test/good and test/<defect>.", metavar="DATA_DIR")],
    rule: Annotated[
        str, typer.Option(help="calibrated, or for comparison aivision, mean+3sd, percentile-95, max-area, otsu.")
    ] = "calibrated",
    report: Annotated[Path | None, typer.Option(help="HTML report to write.", show_default="none")] = None,
    prevalence: Annotated[
        float, typer.Option(min=0, max=1, help="Share of defective parts on the line; gives the precision there.")
    ] = 0.01,
    max_miss: Annotated[
        float | None,
        typer.Option(help="Exit 1 when a larger share of defective parts is passed.", show_default="no limit"),
    ] = None,
    max_false_reject: Annotated[
        float | None,
        typer.Option(help="Exit 1 when a larger share of good parts is rejected.", show_default="no limit"),
    ] = None,
    csv_file: CsvOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare a bundle's verdicts with the truth."""
    from edge_inspector.lab.evaluation.evaluate import evaluate as compare
    from edge_inspector.lab.evaluation.rules import check_rule
    from edge_inspector.lab.report.page import write_report

    check_rule(rule)
    check_csv(csv_file, as_json=as_json)
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"--report {report}: {report.absolute().parent} is not a folder")
    with progress() as show:
        opened, inspector = open_bundle(bundle)
        found = compare(opened, inspector, data, rule, show)
        if report is not None:
            write_report(report, opened, inspector, found, data=data, now=now(), prevalence=prevalence)
    if csv_file is not None:
        _write_images(csv_file, found)
    if as_json:
        print_json(found.as_json(prevalence))
    elif csv_file != "-":
        _print_evaluation(found, prevalence)
        if report is not None:
            typer.echo(f"report          {report}")
    if _exceeds(found.miss.value, max_miss) or _exceeds(found.false_reject.value, max_false_reject):
        raise typer.Exit(FINDING)


def _write_images(target: str, found: "Evaluation") -> None:
    """Write a line for each image."""
    rows: list[tuple[object, ...]] = [
        (one.image.path, one.image.defect, one.verdict.value, _finite(one), one.milliseconds) for one in found.judged
    ]
    rows += [(image.path, image.defect, "unreadable", None, None) for image in found.unreadable]
    write_csv(target, ("image", "defect", "verdict", "score", "ms"), rows)


def _finite(judged: "Judged") -> float | None:
    """Return the score; none where the image could not be judged."""
    return judged.score if math.isfinite(judged.score) else None


def _print_evaluation(found: "Evaluation", prevalence: float) -> None:
    precision = found.precision_at(prevalence)
    typer.echo(f"images          {len(found.good)} good, {len(found.defective)} defective")
    if found.unreadable:
        typer.echo(f"unreadable      {len(found.unreadable)}, neither found nor missed: repair or remove them")
    typer.echo(f"misses          {found.miss}")
    typer.echo(f"false rejects   {found.false_reject}")
    separation = found.separation
    if separation is not None:
        at_5, ranked = separation.miss_at_5, separation.image_auroc
        interval = f"95 % interval {at_5.low:.1%} to {at_5.high:.1%}"
        typer.echo(f"misses at 5 %   {at_5.value:.1%}, were 5 % of these good parts rejected ({interval})")
        typer.echo(f"image AUROC     {ranked.value:.3f} (95 % interval {ranked.low:.3f} to {ranked.high:.3f})")
    if precision is not None:
        words = f"{precision.value:.1%} of the rejected parts ({precision.low:.1%} to {precision.high:.1%})"
        typer.echo(f"precision       {words}, where {prevalence:.1%} of all parts are defective")
    if found.aupro is not None:
        typer.echo(f"places          pixel AUROC {found.pixel_auroc:.3f}, AUPRO {found.aupro:.3f}")
    typer.echo(f"time            {found.milliseconds(50):.1f} ms, 95 % within {found.milliseconds(95):.1f} ms")


def _exceeds(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def compare(
    before: Annotated[Path, typer.Argument(help="Bundle that is in use.", metavar="A")],
    after: Annotated[Path, typer.Argument(help="Bundle that is to replace it.", metavar="B")],
    data: Annotated[Path, typer.Argument(help="Folder with test/good and test/<defect>.", metavar="DATA_DIR")],
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="Exit 1 when AUROC, miss or false-reject rate of B is worse by more.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    csv_file: CsvOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Report what changes when bundle B replaces bundle A; exit 1 when B is worse beyond the tolerance."""
    import numpy as np

    from edge_inspector.lab.evaluation.compare import compare as compare_evaluations
    from edge_inspector.lab.evaluation.evaluate import evaluate
    from edge_inspector.lab.evaluation.rules import CALIBRATED

    check_csv(csv_file, as_json=as_json)
    opened = [open_bundle(path) for path in (before, after)]
    with progress() as report:
        judged = [evaluate(bundle, inspector, data, CALIBRATED, report) for bundle, inspector in opened]
    found = compare_evaluations(judged[0], judged[1], np.random.default_rng(seed))
    worse = found.worse(tolerance)
    if csv_file is not None:
        _write_pairs(csv_file, found)
    if as_json:
        print_json(
            {
                "a": {"bundle": str(before), "id": opened[0][0].id, **found.before.as_json()},
                "b": {"bundle": str(after), "id": opened[1][0].id, **found.after.as_json()},
                "auroc_difference": found.auroc_difference,
                "auroc_difference_low": found.auroc_low,
                "auroc_difference_high": found.auroc_high,
                "flips": [flip.as_json() for flip in found.flips],
                "tolerance": tolerance,
                "worse": list(worse),
            }
        )
    elif csv_file != "-":
        _print_comparison(found, worse, tolerance)
    if worse:
        raise typer.Exit(FINDING)


def _write_pairs(target: str, found: "Comparison") -> None:
    """Write a line for each image: what both bundles say of it."""
    rows = [
        (a.image.path, a.image.defect, a.verdict.value, b.verdict.value, _finite(a), _finite(b))
        for a, b in zip(found.before.judged, found.after.judged, strict=True)
    ]
    write_csv(target, ("image", "defect", "before", "after", "score_before", "score_after"), rows)


def _print_comparison(found: "Comparison", worse: tuple[str, ...], tolerance: float) -> None:
    interval = f"95 % interval {found.auroc_low:+.3f} to {found.auroc_high:+.3f}"
    typer.echo(f"image AUROC     A {found.before.image_auroc:.3f}, B {found.after.image_auroc:.3f}")
    typer.echo(f"difference      {found.auroc_difference:+.3f}, {interval}")
    for name, rates in (
        ("false rejects", (found.before.false_reject, found.after.false_reject)),
        ("misses", (found.before.miss, found.after.miss)),
    ):
        typer.echo(f"{name:<16}A {rates[0]}")
        typer.echo(f"{'':<16}B {rates[1]}")
    for better, words in ((False, "for the worse"), (True, "for the better")):
        flips = [flip for flip in found.flips if flip.for_the_better is better]
        typer.echo(f"{len(flips)} verdicts change {words}")
        for flip in flips[:_NAMED]:
            typer.echo(f"    {flip.image}: {flip.before} -> {flip.after}")
        if len(flips) > _NAMED:
            typer.echo(f"    and {len(flips) - _NAMED} more")
    if worse:
        typer.echo(f"WORSE beyond {tolerance:g}: {', '.join(worse)}")
    else:
        typer.echo(f"B is not worse beyond {tolerance:g}.")


def repeatability(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    folder: Annotated[
        Path, typer.Argument(help="Folder with PART/SHOT images, or with one image of each part.", metavar="DIR")
    ],
    least: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Exit 1 when a smaller share of the parts keeps its verdict.", show_default="no limit"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the synthetic shots.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure repeatability: whether a part gets the same verdict again, and what shift changes it."""
    import numpy as np

    from edge_inspector.lab.evaluation.repeatability import repeat as judge_again

    _, inspector = open_bundle(bundle)
    with progress() as report:
        found = judge_again(inspector, folder, np.random.default_rng(seed), report)
    if as_json:
        print_json(found.as_json())
    else:
        _print_repeatability(found)
    if least is not None and found.agreement.value < least:
        raise typer.Exit(FINDING)


def _print_repeatability(found: "Repeatability") -> None:
    made = "synthetic shots, each a little changed" if found.synthetic else "shots"
    typer.echo(f"parts           {len(found.parts)}, {sum(len(part.shots) for part in found.parts)} {made}")
    typer.echo(f"same verdict    {found.agreement}")
    for part in [part for part in found.parts if not part.agrees][:_NAMED]:
        typer.echo(f"    {part.name}: {', '.join(shot.verdict.value for shot in part.shots)}")
    if found.spread is not None:
        near = f"{len(found.near)} parts are within 3 of them of the threshold (1)"
        typer.echo(f"score           standard deviation of one part {found.spread:.3f}; {near}")
    kappa = "not defined: all verdicts are the same" if found.kappa is None else f"{found.kappa:.2f}"
    typer.echo(f"kappa           {kappa}")
    typer.echo("Parts that keep their verdict when their image is changed by:")
    for kind in dict.fromkeys(rung.kind for rung in found.rungs):
        rungs = [rung for rung in found.rungs if rung.kind == kind]
        shown = "  ".join(f"{rung.amount:g}: {rung.kept.value:.0%}" for rung in rungs)
        typer.echo(f"  {kind:<10} ({rungs[0].unit}) {shown}")
    shift = found.harmless_shift
    words = "no shift is harmless" if shift is None else f"a shift of {shift:g} px is harmless"
    typer.echo(f"At least 95 % of the parts keep their verdict: {words}.")
