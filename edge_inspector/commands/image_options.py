"""Options that say how the images of a part are looked at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import parse_roi
from edge_inspector.errors import UsageError
from edge_inspector.text import did_you_mean

if TYPE_CHECKING:
    from edge_inspector.lab.training.recipe_draft import AlignmentRequest, RegionRequest

SizeOption = Annotated[
    str | None,
    typer.Option(help="Size of the detector's image: N or WIDTHxHEIGHT.", show_default="256; `memory` has its own"),
]
RoiOption = Annotated[str | None, typer.Option(help="Inspect only x,y,width,height.", show_default="the whole image")]
MaskOption = Annotated[
    Path | None, typer.Option(help="PNG of the camera's size; white pixels are ignored.", show_default="none")
]
AlignOption = Annotated[str, typer.Option(help="How a part that moves is found: none, translate, rotate, template.")]
MaxRotationOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=180, help="Largest rotation of the part, degrees.", show_default="20 with --align rotate, else 0"
    ),
]
TemplateOption = Annotated[
    str | None, typer.Option(help="What --align template looks for, x,y,width,height.", show_default="none")
]
ReferenceOption = Annotated[
    Path | None, typer.Option(help="Image that all rectangles refer to.", show_default="the folder's first")
]
UnitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--region", help=r"Inspection region x,y,width,height\[,min_area]; repeatable.", show_default="the whole image"
    ),
]


def align_wish(
    kind: str, max_rotation: float | None, template: str | None, reference: Path | None
) -> "AlignmentRequest":
    """Return how a part is to be found.

    Raises:
        UsageError: no such kind, or no rectangle.
    """
    from edge_inspector.lab.training.recipe_draft import ALIGNMENTS, AlignmentRequest

    known = next((one for one in ALIGNMENTS if one == kind), None)
    if known is None:
        raise UsageError(f"--align {kind}: expected {', '.join(ALIGNMENTS)}{did_you_mean(kind, ALIGNMENTS)}")
    return AlignmentRequest(known, max_rotation, parse_roi(template, "--template"), reference)


def parse_units(texts: list[str]) -> "tuple[RegionRequest, ...]":
    """Return the regions of x,y,width,height[,min_area].

    Raises:
        UsageError: another form.
    """
    return tuple(_parse_unit(text) for text in texts)


def _parse_unit(text: str) -> "RegionRequest":
    from edge_inspector.lab.training.recipe_draft import RegionRequest

    box, comma, area = text.rpartition(",") if text.count(",") == 4 else (text, "", "")
    region = parse_roi(box, "--region")
    try:
        min_area = float(area) if comma else None
    except ValueError:
        min_area = -1.0
    if region is None or (min_area is not None and not 0 < min_area < float("inf")):
        raise UsageError(f"--region {text}: expected x,y,width,height or x,y,width,height,min_area in camera pixels")
    return RegionRequest(region, min_area)
