"""Commands that show how a part is looked at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, parse_roi, parse_size, print_json
from edge_inspector.commands.look import (
    AlignOption,
    MaskOption,
    MaxTurnOption,
    ReferenceOption,
    RoiOption,
    SizeOption,
    TemplateOption,
    UnitOption,
    align_wish,
    parse_units,
)
from edge_inspector.errors import UsageError

if TYPE_CHECKING:
    from edge_inspector.inspection.preprocess import IgnoreMask
    from edge_inspector.lab.draft import AlignWish, UnitWish
    from edge_inspector.lab.preview import Preview
    from edge_inspector.lab.reference import Sight

_MEASURED = 40
"""Pictures that size and grey values are taken from where there is no bundle."""


def preview(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files, or a folder of them.", metavar="PICTURES...")],
    out: Annotated[Path, typer.Option(help="Folder for what is drawn.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Look as this bundle does; else as `train` would with these options.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Of a folder, look at so many, evenly chosen.")] = 12,
    size: SizeOption = None,
    roi: RoiOption = None,
    align: AlignOption = "none",
    max_turn: MaxTurnOption = None,
    template: TemplateOption = None,
    reference: ReferenceOption = None,
    unit: UnitOption = None,
    mask: MaskOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw what the detector will see of pictures, and say how each part was found; exit 1 when one cannot be."""
    from edge_inspector.lab.dataset import find_pictures
    from edge_inspector.lab.preview import preview as draw

    is_folder = len(pictures) == 1 and pictures[0].is_dir()
    files = find_pictures(pictures[0]) if is_folder else tuple(pictures)
    if not all(file.is_file() for file in files):
        missing = next(file for file in files if not file.is_file())
        raise UsageError(f"{missing}: no such file; expected picture files, or one folder of them")
    wish, units = align_wish(align, max_turn, template, reference), parse_units(unit or [])
    if bundle is None:
        sight, ignore = _asked_for(files, parse_size(size or "256"), roi, wish, units, mask)
    elif wish.kind != "none" or units or roi or mask:
        raise UsageError("--bundle says how pictures are looked at: leave the other options out")
    else:
        sight, ignore = _of_bundle(bundle)
    shown = list(draw(sight, ignore, _evenly(files, count) if is_folder else files, out))
    _print(shown, out, as_json=as_json)
    if any(one.placement is None for one in shown):
        raise typer.Exit(FINDING)


def _of_bundle(path: Path) -> "tuple[Sight, IgnoreMask | None]":
    from edge_inspector.bundle import read_bundle
    from edge_inspector.lab.reference import Sight

    bundle = read_bundle(path)
    return Sight(bundle.recipe, bundle.aligner()), bundle.ignore()


def _asked_for(
    files: Sequence[Path],
    size: tuple[int, int],
    roi: str | None,
    wish: "AlignWish",
    units: "tuple[UnitWish, ...]",
    mask: Path | None,
) -> "tuple[Sight, IgnoreMask | None]":
    from edge_inspector.lab.dataset import read_picture
    from edge_inspector.lab.draft import Draft, draft_recipe, read_ignore
    from edge_inspector.lab.reference import open_sight
    from edge_inspector.lab.traits import traits_of

    draft = Draft("part", 3, lambda _width, _height: size, region=parse_roi(roi), align=wish, units=units)
    some = [traits_of(read_picture(file, 1)) for file in _evenly(files, _MEASURED)]
    sight = open_sight(draft_recipe(draft, files[0].parent, some), wish.reference or files[0])
    return sight, read_ignore(mask, sight.recipe) if mask else None


def _evenly(files: Sequence[Path], count: int) -> Sequence[Path]:
    return files if len(files) <= count else [files[place * len(files) // count] for place in range(count)]


def _print(shown: "Sequence[Preview]", out: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "picture": str(one.picture),
                    "found": one.placement is not None,
                    **dict(one.placement.pose.numbers() if one.placement and one.placement.pose else ()),
                    "refusal": one.refusal,
                }
                for one in shown
            ]
        )
        return
    for one in shown:
        typer.echo(f"{one.picture}: {one.in_words}")
    lost = sum(one.placement is None for one in shown)
    typer.echo(f"{len(shown) - lost} of {len(shown)} pictures can be judged; drawn in {out}")
