"""Give a bundle another threshold: from other good pictures, for another target, or without a defective one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from edge_inspector.bundle import Bundle, CalibrationCard, TakenOut
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.calibrate import Choice, calibrate
from edge_inspector.lab.dataset import GoodPicture, Split, find_good
from edge_inspector.lab.material import Material, material_of
from edge_inspector.lab.min_area import choose_min_area, with_min_area
from edge_inspector.lab.threshold import Target, allowed_exceedances
from edge_inspector.native import native_path


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants changed."""

    pictures: Path
    """Good ones."""
    out: Path
    target: Target
    created: datetime
    report: Callable[[str, float], None] = field(repr=False)
    min_area: float | None = None
    """Camera pixels."""
    group: str | None = None
    again: bool = False
    """The folder is the one that taught the bundle: use the pictures that calibrated it."""
    take_out: tuple[str, ...] = ()
    """Names of pictures, or paths below the folder."""
    marked_by: str = ""
    """Who says that these show defective parts; empty: nobody, so they count as exceedances."""
    ng: Path | None = None
    """Pictures of defective parts, to choose the minimum area by."""


def recalibrate(bundle: Bundle, wish: Wish) -> Bundle:
    """Write a bundle with the same graphs and another threshold.

    A picture of the old card that is not in the folder any more was taken out after it was scored: it counts as an
    exceedance, as one does that is taken out by name, unless somebody marked it defective. Else one could delete
    the worst pictures until any rate is shown.

    Raises:
        DataError: pictures that taught the detector, too few of them, the folder that taught the bundle is another, or
            an `out` that is no UTF-8.
        UsageError: a picture to take out that is not there, or options that contradict each other.
    """
    _check(wish)
    native_path(wish.out)
    found = find_good(wish.pictures, wish.group)
    card, provenance = bundle.manifest.calibration, bundle.manifest.provenance
    tune = tuple(picture for picture in found if wish.again and picture.digest in provenance.tune_digests)
    good = tuple(picture for picture in found if not wish.again or picture.digest in card.digests)
    if not good:
        raise DataError(f"no picture in {wish.pictures} calibrated {bundle.path}: expected the folder that did")
    taken_out = _taken_out(wish, card, good)
    gone = {one.digest for one in taken_out}
    sets = Split(fit=(), tune=tune, calibrate=tuple(picture for picture in good if picture.digest not in gone))
    material = material_of(bundle, usable_processors())
    if wish.again and card.estimated:
        material = _with_scores(material, wish, card)
    if wish.min_area is not None:
        material = with_min_area(material, wish.min_area)
    choice = None
    if wish.ng is not None:
        material, choice = _choose(wish, material, sets)
    return calibrate(
        material,
        sets,
        target=wish.target,
        created=wish.created,
        rng=np.random.default_rng(provenance.seed),
        out=wish.out,
        report=wish.report,
        taken_out=taken_out,
        choice=choice,
    )


def _check(wish: Wish) -> None:
    if wish.marked_by and not wish.take_out:
        raise UsageError("--by names who marks a picture defective: say which with --take-out PICTURE")
    if wish.ng is not None and wish.min_area is not None:
        raise UsageError("--ng chooses the minimum area: give either --ng or --min-area")
    if wish.ng is not None and not wish.again:
        raise UsageError(
            "--ng chooses the minimum area by the pictures that tuned the bundle: give --again, and with --ok the "
            "folder that taught it"
        )


def _with_scores(material: Material, wish: Wish, card: CalibrationCard) -> Material:
    """Return the material with the scores of the images by models that had not seen them: these are gone now.

    Raises:
        UsageError: another minimum area is wanted, for which there are no such scores.
    """
    if wish.min_area is not None or wish.ng is not None:
        raise UsageError(
            "the limit of this bundle comes from cross-validated scores, which are of its minimum area: train the part "
            "anew with --min-area, or calibrate with good images that were not used (without --again)"
        )
    known = {one.digest: one.level for one in card.pictures if one.level is not None}
    return replace(material, held_out=known)


def _choose(wish: Wish, material: Material, sets: Split) -> tuple[Material, Choice]:
    if wish.ng is None or not sets.tune:
        raise DataError(f"no picture in {wish.pictures} tuned this bundle: expected the folder that taught it")
    groups = len({picture.group for picture in sets.calibrate})
    target = wish.target
    allowed = allowed_exceedances(groups, target.false_reject, target.confidence) if target.false_reject else 0
    return choose_min_area(material, sets.tune, wish.ng, (allowed or 0) / groups, wish.report)


def _taken_out(wish: Wish, card: CalibrationCard, good: Sequence[GoodPicture]) -> tuple[TakenOut, ...]:
    """Return what the old card had and is gone, what it had taken out already, and what is named now."""
    present = {picture.digest: picture for picture in good}
    before = _of_the_card(card) if set(card.digests) & set(present) else {}
    named = _named(wish, {**before, **{picture.digest: _entry(picture) for picture in good}})
    chosen = {one.digest for one in named}
    kept = (one for digest, one in before.items() if digest not in chosen)
    return (*named, *(one for one in kept if one.marked_by or one.digest not in present))


def _of_the_card(card: CalibrationCard) -> dict[str, TakenOut]:
    """Return every picture that the card knows, by digest; cards of the first version know digests only."""
    scored = {one.digest: one for one in card.pictures}
    names = {digest: scored[digest].picture if digest in scored else digest[:12] for digest in card.digests}
    groups = {digest: scored[digest].group if digest in scored else digest for digest in card.digests}
    known = {digest: TakenOut(picture=names[digest], digest=digest, group=groups[digest]) for digest in card.digests}
    return known | {one.digest: one for one in card.taken_out}


def _entry(picture: GoodPicture) -> TakenOut:
    return TakenOut(picture=str(picture.path), digest=picture.digest, group=picture.group)


def _named(wish: Wish, candidates: dict[str, TakenOut]) -> tuple[TakenOut, ...]:
    entries = []
    for name in wish.take_out:
        matches = [one for one in candidates.values() if name in (one.picture, Path(one.picture).name)]
        matches += [one for one in candidates.values() if Path(one.picture) == wish.pictures / name]
        if len({one.digest for one in matches}) != 1:
            found = "there is none" if not matches else f"there are {len(matches)}, name one by its path"
            raise UsageError(f"--take-out {name}: expected a calibration picture of that name, {found}")
        entries.append(matches[0].model_copy(update={"marked_by": wish.marked_by}))
    return tuple(entries)
