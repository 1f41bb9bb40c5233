"""Give a bundle another threshold: from other good images, for another target, or without a defective one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from edge_inspector.bundle import Bundle, CalibrationCard, ExcludedImage
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.calibration.calibrate import MinAreaChoice, calibrate
from edge_inspector.lab.calibration.min_area import choose_min_area, with_min_area
from edge_inspector.lab.calibration.threshold import allowed_exceedances
from edge_inspector.lab.data.dataset import GoodImage, Split, find_good
from edge_inspector.lab.training.target import Target
from edge_inspector.lab.training.trained_model import TrainedModel, model_of
from edge_inspector.native import native_path


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What the user wants changed."""

    images: Path
    """Good ones."""
    out: Path
    target: Target
    created: datetime
    report: Callable[[str, float], None] = field(repr=False)
    min_area: float | None = None
    """Camera pixels."""
    group: str | None = None
    again: bool = False
    """The folder is the one that trained the bundle: use the images that calibrated it."""
    exclude: tuple[str, ...] = ()
    """Names of images, or paths below the folder."""
    marked_by: str = ""
    note: str = ""
    """Who says that these show defective parts; empty: nobody, so they count as exceedances."""
    ng: Path | None = None
    """Images of defective parts, to choose the minimum area by."""


def recalibrate(bundle: Bundle, request: CalibrationRequest) -> Bundle:
    """Write a bundle with the same graphs and another threshold.

    An image of the old card that is not in the folder any more was removed after it was scored: it counts as an
    exceedance, as one does that is excluded by name, unless somebody marked it defective. Else one could delete
    the worst images until any rate is shown.

    Raises:
        DataError: images that trained the detector, too few of them, the folder that trained the bundle is another, or
            an `out` that is not UTF-8.
        UsageError: an image to take out that is not there, or options that contradict each other.
    """
    _check(request)
    native_path(request.out)
    found = find_good(request.images, request.group)
    card, provenance = bundle.manifest.calibration, bundle.manifest.provenance
    tune = tuple(image for image in found if request.again and image.digest in provenance.tune_digests)
    good = tuple(image for image in found if not request.again or image.digest in card.digests)
    if not good:
        raise DataError(f"no image in {request.images} calibrated {bundle.path}: expected the folder that did")
    excluded = _excluded(request, card, good)
    gone = {one.digest for one in excluded}
    sets = Split(fit=(), tune=tune, calibrate=tuple(image for image in good if image.digest not in gone))
    model = model_of(bundle, usable_processors())
    if request.again and card.estimated:
        model = _with_scores(model, request, card)
    if request.min_area is not None:
        model = with_min_area(model, request.min_area)
    choice = None
    if request.ng is not None:
        model, choice = _choose(request, model, sets)
    return calibrate(
        model,
        sets,
        target=request.target,
        created=request.created,
        rng=np.random.default_rng(provenance.seed),
        out=request.out,
        report=request.report,
        excluded=excluded,
        choice=choice,
    )


def _check(request: CalibrationRequest) -> None:
    if request.note and not request.marked_by:
        raise UsageError("--note says why an image is defective: say who says so with --by NAME")
    if request.marked_by and not request.exclude:
        raise UsageError("--by names who marks an image defective: say which with --exclude IMAGE")
    if request.ng is not None and request.min_area is not None:
        raise UsageError("--ng chooses the minimum area: give either --ng or --min-area")
    if request.ng is not None and not request.again:
        raise UsageError(
            "--ng chooses the minimum area by the images that tuned the bundle: give --again, and with --ok the "
            "folder that trained it"
        )


def _with_scores(model: TrainedModel, request: CalibrationRequest, card: CalibrationCard) -> TrainedModel:
    """Return the material with the scores of the images by models that had not seen them: these are gone now.

    Raises:
        UsageError: another minimum area is wanted, for which there are no such scores.
    """
    if request.min_area is not None or request.ng is not None:
        raise UsageError(
            "the limit of this bundle comes from cross-validated scores, which are of its minimum area: train the part "
            "again with --min-area, or calibrate with good images that were not used (without --again)"
        )
    known = {one.digest: one.level for one in card.images if one.level is not None}
    return replace(model, held_out=known)


def _choose(request: CalibrationRequest, model: TrainedModel, sets: Split) -> tuple[TrainedModel, MinAreaChoice]:
    if request.ng is None or not sets.tune:
        raise DataError(f"no image in {request.images} tuned this bundle: expected the folder that trained it")
    groups = len({image.group for image in sets.calibrate})
    target = request.target
    allowed = allowed_exceedances(groups, target.false_reject, target.confidence) if target.false_reject else 0
    return choose_min_area(model, sets.tune, request.ng, (allowed or 0) / groups, request.report)


def _excluded(
    request: CalibrationRequest, card: CalibrationCard, good: Sequence[GoodImage]
) -> tuple[ExcludedImage, ...]:
    """Return what the old card had and is gone, what it had excluded already, and what is named now."""
    present = {image.digest: image for image in good}
    before = _of_the_card(card) if set(card.digests) & set(present) else {}
    named = _named(request, {**before, **{image.digest: _entry(image) for image in good}})
    chosen = {one.digest for one in named}
    kept = (one for digest, one in before.items() if digest not in chosen)
    return (*named, *(one for one in kept if one.marked_by or one.digest not in present))


def _of_the_card(card: CalibrationCard) -> dict[str, ExcludedImage]:
    """Return every image that the card knows, by digest; cards of the first version know digests only."""
    scored = {one.digest: one for one in card.images}
    names = {digest: scored[digest].image if digest in scored else digest[:12] for digest in card.digests}
    groups = {digest: scored[digest].group if digest in scored else digest for digest in card.digests}
    known = {digest: ExcludedImage(image=names[digest], digest=digest, group=groups[digest]) for digest in card.digests}
    return known | {one.digest: one for one in card.excluded}


def _entry(image: GoodImage) -> ExcludedImage:
    return ExcludedImage(image=str(image.path), digest=image.digest, group=image.group)


def _named(request: CalibrationRequest, candidates: dict[str, ExcludedImage]) -> tuple[ExcludedImage, ...]:
    entries = []
    for name in request.exclude:
        matches = [one for one in candidates.values() if name in (one.image, Path(one.image).name)]
        matches += [one for one in candidates.values() if Path(one.image) == request.images / name]
        if len({one.digest for one in matches}) != 1:
            found = "there is none" if not matches else f"there are {len(matches)}, name one by its path"
            raise UsageError(f"--exclude {name}: expected a calibration image of that name, {found}")
        entries.append(matches[0].model_copy(update={"marked_by": request.marked_by, "note": request.note}))
    return tuple(entries)
