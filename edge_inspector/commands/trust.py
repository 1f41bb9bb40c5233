"""Commands that say whether a bundle can be trusted: beside another one, and with the same part again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, open_bundle, print_json, progress

if TYPE_CHECKING:
    from edge_inspector.lab.evaluation.compare import Comparison
    from edge_inspector.lab.evaluation.repeatability import Repeatability

_NAMED = 5
"""Flips of each kind that are named; --json names all."""


def compare(
    before: Annotated[Path, typer.Argument(help="Bundle that is in use.", metavar="A")],
    after: Annotated[Path, typer.Argument(help="Bundle that is to take its place.", metavar="B")],
    data: Annotated[Path, typer.Argument(help="Folder with test/good and test/<defect>.", metavar="DATA_DIR")],
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="Exit 1 when AUROC, miss or false-reject rate of B is worse by more.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Start of the bootstrap.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Say what changes where bundle B takes the place of bundle A; exit 1 when B is worse beyond the tolerance."""
    import numpy as np

    from edge_inspector.lab.evaluation.compare import compare as compare_evaluations
    from edge_inspector.lab.evaluation.evaluate import evaluate
    from edge_inspector.lab.evaluation.rules import CALIBRATED

    opened = [open_bundle(path) for path in (before, after)]
    with progress() as report:
        judged = [evaluate(bundle, inspector, data, CALIBRATED, report) for bundle, inspector in opened]
    found = compare_evaluations(judged[0], judged[1], np.random.default_rng(seed))
    worse = found.worse(tolerance)
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
    else:
        _print_comparison(found, worse, tolerance)
    if worse:
        raise typer.Exit(FINDING)


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


def repeat(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    folder: Annotated[
        Path, typer.Argument(help="Folder with PART/SHOT images, or with one image of each part.", metavar="DIR")
    ],
    least: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit 1 when a smaller share of the parts agrees.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Start of the synthetic shots.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Say whether the same part gets the same verdict again, and how far it may shift before it does not."""
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
