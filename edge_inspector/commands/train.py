"""Commands that write a bundle."""

import time
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from edge_inspector.commands.card import print_bundle
from edge_inspector.commands.console import (
    GroupOption,
    JsonFlag,
    ended_by_ctrl_c,
    now,
    open_bundle,
    parse_changes,
    parse_roi,
    parse_size,
    print_json,
    progress,
    stderr,
)
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

FalseRejectOption = Annotated[
    float | None,
    typer.Option(
        help="Upper bound on the false-reject rate, a share of good parts.", show_default="what the images support"
    ),
]
ConfidenceOption = Annotated[float, typer.Option(help="Confidence of the bound.")]
ReviewOption = Annotated[
    float | None,
    typer.Option(
        help="Upper bound on good parts that are not OK: between the two bounds is REVIEW.", show_default="no REVIEW"
    ),
]
MinAreaOption = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="Smallest defect that counts, in camera pixels.",
        show_default="0.1 % of what is inspected",
    ),
]
OverlaysOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the outliers among the good images, with the heat map over them.", show_default="none"
    ),
]


def _print_settings(context: typer.Context, asked: bool) -> None:
    """Print what a detector's settings are; `--detector` has been read, the options that are needed have not."""
    if not asked:
        return
    from edge_inspector.detectors.settings import choose_kind, settings_in_words

    kind = context.params.get("detector") or choose_kind()[0]
    for line in settings_in_words(kind):
        typer.echo(line)
    raise typer.Exit


def train(
    images: Annotated[Path, typer.Argument(help="Folder of images of good parts.", metavar="OK_DIR")],
    part: Annotated[str, typer.Option(help="Name of the part.")],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to; must not exist.")],
    detector: Annotated[str | None, typer.Option(help="Kind of detector:", is_eager=True)] = None,
    size: SizeOption = None,
    keep_aspect: Annotated[
        bool, typer.Option("--keep-aspect", help="Keep the image's shape; --size is the longer side.")
    ] = False,
    colour: Annotated[
        bool | None,
        typer.Option("--colour/--grey", help="Inspect colour, or grey values only.", show_default="the detector's"),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Pretrained network of a feature detector.", show_default="the detector's")
    ] = None,
    allow_random: Annotated[
        bool, typer.Option("--allow-random", help="Accept a backbone with random weights; for tests.")
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(
            min=0, help="Side of tiles, for small defects in large images; 0 is none.", show_default="the detector's"
        ),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Overlap of neighbouring tiles, pixels.", show_default="the detector's")
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Augmentations, comma-separated: flip, rotate, shift, brightness.",
            show_default="the detector's",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="End the training after this many epochs.", show_default="the detector's")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="End the training after this many minutes.", show_default="no limit")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    precision: Annotated[
        str, typer.Option(help="Precision of the network on the line: auto, f32, bf16 or int8.")
    ] = "auto",
    false_reject: FalseRejectOption = None,
    confidence: ConfidenceOption = 0.95,
    review: ReviewOption = None,
    hold_back: Annotated[
        float | None,
        typer.Option(
            min=0.05,
            max=0.9,
            help="Share of the good images that only set the threshold: backs a bound.",
            show_default="the detector's",
        ),
    ] = None,
    min_area: MinAreaOption = None,
    residual: Annotated[
        str | None,
        typer.Option(
            help="How image and reconstruction are compared: ssim, l1, l2 or ssim+l1.", show_default="the detector's"
        ),
    ] = None,
    tolerance: Annotated[
        bool | None,
        typer.Option(
            "--tolerance/--no-tolerance",
            help="Scale the residual by the variation of good parts at each pixel.",
            show_default="the detector's",
        ),
    ] = None,
    local: Annotated[bool, typer.Option("--normalise-local", help="Correct uneven lighting.")] = False,
    roi: RoiOption = None,
    mask: MaskOption = None,
    align: AlignOption = "none",
    max_rotation: MaxRotationOption = None,
    template: TemplateOption = None,
    reference: ReferenceOption = None,
    unit: UnitOption = None,
    group: GroupOption = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Detector setting, KEY=VALUE; repeatable; --help-settings lists them.",
            show_default="the detector's",
        ),
    ] = None,
    _help_settings: Annotated[
        bool,
        typer.Option(
            "--help-settings", help="Print what --set takes for --detector, and exit.", callback=_print_settings
        ),
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Bundle to resume training from (autoencoders).", show_default="none")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, for autoencoders; `torchrun` makes several.")] = "cpu",
    overlays: OverlaysOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a part from good images and write a bundle that can run."""
    from edge_inspector.detectors.settings import choose_kind, parse_settings
    from edge_inspector.detectors.training_data import Budget
    from edge_inspector.detectors.workers import WorkerDoneError, join
    from edge_inspector.lab.train import train as train_detector
    from edge_inspector.lab.training.precision import parse_precision
    from edge_inspector.lab.training.target import Target
    from edge_inspector.lab.training.train_part import TrainingRequest

    width, height = parse_size(size or "256")
    said = {
        "residual": residual,
        "tolerance": tolerance,
        "backbone": backbone,
        "allow_random": allow_random or None,
        "tile": tile,
        "overlap": overlap,
        "augment": augment,
    }
    wanted = {name: str(value) for name, value in said.items() if value is not None}
    if detector is None:
        only = (residual, tolerance, resume, epochs, minutes)
        detector, why = choose_kind(autoencoder=any(one is not None for one in only))
        stderr.print(f"detector {detector}: {why}", highlight=False, markup=False, soft_wrap=True)
    settings = parse_settings(detector, parse_changes(changes or []) | wanted)
    pressed = Event()
    workers = join(device)
    try:
        with progress() as report:
            bundle = train_detector(
                TrainingRequest(
                    images=images,
                    part=part,
                    out=out,
                    detector=settings,
                    created=now(),
                    clock=time.monotonic,
                    report=report,
                    width=width,
                    height=height,
                    keep_aspect=keep_aspect,
                    own_size=size is None and not keep_aspect,
                    hold_back=hold_back,
                    channels=settings.CHANNELS if colour is None else 3 if colour else 1,
                    budget=Budget(epochs, None if minutes is None else 60 * minutes),
                    seed=seed,
                    precision=parse_precision(precision),
                    target=Target(false_reject, confidence, review),
                    min_area=min_area,
                    normalise="local" if local else "none",
                    region=parse_roi(roi),
                    mask=mask,
                    align=align_wish(align, max_rotation, template, reference),
                    units=parse_units(unit or []),
                    group=group,
                    resume=resume,
                    workers=workers,
                    interruptible=lambda: ended_by_ctrl_c(pressed),
                )
            )
    except WorkerDoneError:
        return
    _save_overlays(bundle.path, overlays)
    print_bundle(bundle, as_json=as_json)
    if pressed.is_set():
        stderr.print(
            f"Ctrl-C ended the training after {bundle.manifest.provenance.steps} steps; the best weights so far are "
            f"kept. To go on: the same command with --resume {bundle.path} and another --out.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Bundle to start from; it is not changed.")],
    ok: Annotated[Path, typer.Option(help="Folder of images of good parts that were not used before.")],
    out: Annotated[Path, typer.Option(help="Folder to write the new bundle to; must not exist.")],
    false_reject: FalseRejectOption = None,
    confidence: ConfidenceOption = 0.95,
    review: ReviewOption = None,
    min_area: Annotated[
        float | None,
        typer.Option(min=0.01, help="Smallest defect that counts, in camera pixels.", show_default="the bundle's"),
    ] = None,
    group: GroupOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="--ok is the training folder: reuse its calibration images.")
    ] = False,
    ng: Annotated[
        Path | None,
        typer.Option(help="Folder of defective parts, to choose the minimum area.", show_default="none"),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="Calibration image to exclude; counts as rejected, unless --by says it is defective; repeatable.",
            show_default="none",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Who says that the excluded images show defective parts.", show_default="nobody")
    ] = "",
    note: Annotated[str, typer.Option(help="Why they are defective; kept with the name.", show_default="none")] = "",
    overlays: OverlaysOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a bundle a new threshold, from other good images, for another target, or without images of defects."""
    from edge_inspector.bundle import read_bundle
    from edge_inspector.lab.calibration.recalibrate import CalibrationRequest, recalibrate
    from edge_inspector.lab.training.target import Target

    with progress() as report:
        written = recalibrate(
            read_bundle(bundle),
            CalibrationRequest(
                images=ok,
                out=out,
                target=Target(false_reject, confidence, review),
                created=now(),
                report=report,
                min_area=min_area,
                group=group,
                again=again,
                exclude=tuple(exclude or ()),
                marked_by=by.strip(),
                note=note.strip(),
                ng=ng,
            ),
        )
    _save_overlays(written.path, overlays)
    print_bundle(written, as_json=as_json)


def pretrain(
    images: Annotated[Path, typer.Argument(help="Folder of images of good parts.", metavar="OK_DIR")],
    out: Annotated[Path, typer.Option(help="File to write the weights to; must not exist.")],
    backbone: Annotated[str, typer.Option(help="Architecture to start from.")] = "efficientnet-lite0",
    size: Annotated[int, typer.Option(min=32, help="Side of the square images.")] = 256,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="End after this many epochs.", show_default="no limit")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="End after this many minutes.", show_default="no limit")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; `train` needs the same.")] = 0,
    group: GroupOption = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start without ImageNet's weights.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a backbone on your own parts by rotation prediction; `train --backbone rotation:FILE` takes it."""
    from edge_inspector.detectors.training_data import Budget
    from edge_inspector.lab.training.pretrain import PretrainingRequest, pretrain_backbone

    with progress() as report:
        made = pretrain_backbone(
            PretrainingRequest(
                images=images,
                out=out,
                clock=time.monotonic,
                report=report,
                architecture=backbone,
                from_scratch=from_scratch,
                size=size,
                budget=Budget(epochs, None if minutes is None else 60 * minutes),
                seed=seed,
                group=group,
            )
        )
    if as_json:
        print_json({"file": str(made.file), "pictures": made.images, "told": made.told})
        return
    typer.echo(
        f"{made.file}: pretrained on {made.images} images, tells {made.told:.0%} of unseen rotations; guessing: 25%"
    )


def _save_overlays(bundle: Path, folder: Path | None) -> None:
    from edge_inspector.lab.calibration.outliers import save_overlays

    if folder is not None:
        save_overlays(*open_bundle(bundle), folder)
