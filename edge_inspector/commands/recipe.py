"""Commands that show how a part is looked at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, parse_roi, parse_size, print_json
from edge_inspector.commands.image_options import (
    AlignOption,
    MaskOption,
    MaxRotationOption,
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
    from edge_inspector.lab.training.preview import Preview
    from edge_inspector.lab.training.recipe_draft import AlignmentRequest, RegionRequest
    from edge_inspector.lab.training.reference import Preparation

_MEASURED = 40
"""Images that size and grey values are taken from where there is no bundle."""


def preview(
    images: Annotated[list[Path], typer.Argument(help="Image files, or a folder of them.", metavar="IMAGE...")],
    out: Annotated[Path, typer.Option(help="Folder for the drawings.")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Prepare images as this bundle does.", show_default="as `train` would with these options"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of images of a folder, evenly chosen.")] = 12,
    size: SizeOption = None,
    roi: RoiOption = None,
    align: AlignOption = "none",
    max_rotation: MaxRotationOption = None,
    template: TemplateOption = None,
    reference: ReferenceOption = None,
    unit: UnitOption = None,
    mask: MaskOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw what the detector will see, and report how each part was found; exit 1 when one was not."""
    from edge_inspector.lab.data.dataset import find_images
    from edge_inspector.lab.training.preview import preview as draw

    is_folder = len(images) == 1 and images[0].is_dir()
    files = find_images(images[0]) if is_folder else tuple(images)
    if not all(file.is_file() for file in files):
        missing = next(file for file in files if not file.is_file())
        raise UsageError(f"{missing}: no such file; expected image files, or one folder of them")
    request, units = align_wish(align, max_rotation, template, reference), parse_units(unit or [])
    if bundle is None:
        preparation, ignore = _asked_for(files, parse_size(size or "256"), roi, request, units, mask)
    elif request.kind != "none" or units or roi or mask:
        raise UsageError("--bundle says how images are looked at: leave the other options out")
    else:
        preparation, ignore = _of_bundle(bundle)
    shown = list(draw(preparation, ignore, _evenly(files, count) if is_folder else files, out))
    _print(shown, out, as_json=as_json)
    if any(one.placement is None for one in shown):
        raise typer.Exit(FINDING)


def _of_bundle(path: Path) -> "tuple[Preparation, IgnoreMask | None]":
    from edge_inspector.bundle import read_bundle
    from edge_inspector.lab.training.reference import Preparation

    bundle = read_bundle(path)
    return Preparation(bundle.recipe, bundle.aligner()), bundle.ignore()


def _asked_for(
    files: Sequence[Path],
    size: tuple[int, int],
    roi: str | None,
    request: "AlignmentRequest",
    units: "tuple[RegionRequest, ...]",
    mask: Path | None,
) -> "tuple[Preparation, IgnoreMask | None]":
    from edge_inspector.lab.data.dataset import read_image
    from edge_inspector.lab.data.traits import traits_of
    from edge_inspector.lab.training.recipe_draft import RecipeDraft, draft_recipe, read_ignore
    from edge_inspector.lab.training.reference import open_preparation

    draft = RecipeDraft("part", 3, lambda _width, _height: size, region=parse_roi(roi), align=request, units=units)
    some = [traits_of(read_image(file, 1)) for file in _evenly(files, _MEASURED)]
    preparation = open_preparation(draft_recipe(draft, files[0].parent, some), request.reference or files[0])
    return preparation, read_ignore(mask, preparation.recipe) if mask else None


def _evenly(files: Sequence[Path], count: int) -> Sequence[Path]:
    return files if len(files) <= count else [files[place * len(files) // count] for place in range(count)]


def _print(shown: "Sequence[Preview]", out: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "picture": str(one.image),
                    "found": one.placement is not None,
                    **dict(one.placement.pose.numbers() if one.placement and one.placement.pose else ()),
                    "refusal": one.refusal,
                }
                for one in shown
            ]
        )
        return
    for one in shown:
        typer.echo(f"{one.image}: {one.in_words}")
    lost = sum(one.placement is None for one in shown)
    typer.echo(f"{len(shown) - lost} of {len(shown)} images can be judged; drawn in {out}")
