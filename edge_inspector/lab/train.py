"""Teach a part: good pictures in, a bundle that can run out."""

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as save_tensors
from torch import nn

from edge_inspector import __version__
from edge_inspector.bundle import (
    ALIGN,
    IGNORE,
    REFERENCE,
    RESIDUAL,
    WEIGHTS,
    Bundle,
    DetectorCard,
    Provenance,
    network_file,
    read_bundle,
)
from edge_inspector.detectors.backbones import ROTATION, seen_by
from edge_inspector.detectors.folds import held_out_maps
from edge_inspector.detectors.history import History
from edge_inspector.detectors.kinds import check_size, nearest_size, output_names, own_size, teach
from edge_inspector.detectors.lesson import Budget, Fitted, Lesson, Pictures, Progress, Taught
from edge_inspector.detectors.settings import BackboneSettings, DetectorSettings, FeatureSettings
from edge_inspector.detectors.summary import summarise
from edge_inspector.detectors.workers import ALONE, Workers
from edge_inspector.engines.openvino import ENGINE, OpenVinoDetector, OpenVinoNetwork, Precision, usable_processors
from edge_inspector.errors import DataError
from edge_inspector.inspection.preprocess import IgnoreMask
from edge_inspector.inspection.recipe import Recipe, Region
from edge_inspector.inspection.units import as_judged, level_of, levels_of, never_judged
from edge_inspector.lab import defects
from edge_inspector.lab.augment import Augment
from edge_inspector.lab.calibrate import calibrate
from edge_inspector.lab.corrupt import corrupt
from edge_inspector.lab.dataset import GoodPicture, Split, digest_of, find_good, read_picture, split, split_for_folds
from edge_inspector.lab.draft import AlignWish, Draft, UnitWish, check_part, draft_recipe, read_ignore
from edge_inspector.lab.export import to_onnx
from edge_inspector.lab.limits import with_limits
from edge_inspector.lab.lots import lots_of
from edge_inspector.lab.machine import processor
from edge_inspector.lab.material import Material
from edge_inspector.lab.precision import (
    LARGEST_SHIFT,
    Asked,
    Levels,
    check_precision,
    holds,
    lighter,
    network_files,
    shift,
)
from edge_inspector.lab.reference import (
    encode_reference,
    open_sight,
    prepare_all,
    reference_of,
    with_least,
    without_reference,
)
from edge_inspector.lab.resume import open_weights, refuse_leaks
from edge_inspector.lab.threshold import Target, check_target
from edge_inspector.lab.traits import traits_of
from edge_inspector.lab.usual import with_usual, with_usual_levels
from edge_inspector.native import native_path

HELD_BACK = 1 / 3
"""Of the good images, to set the limit by, where they do not all train."""
_PLANTED_PER_PICTURE = 2
_LIBRARIES = ("torch", "onnx", "openvino", "opencv-python", "numpy")


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asks to be taught."""

    pictures: Path
    part: str
    out: Path
    detector: DetectorSettings
    created: datetime
    clock: Callable[[], float] = field(repr=False)
    report: Callable[[str, float], None] = field(repr=False)
    """Called with what is being done and its share."""
    width: int = 256
    height: int = 256
    keep_aspect: bool = False
    """Whether the detector's picture has the shape of the inspected one; its longer side is that of the two above."""
    channels: int = 1
    budget: Budget = field(default_factory=lambda: Budget(None, None))
    seed: int = 0
    precision: Asked = "f32"
    """Of the network on the line; `auto` is the fastest that leaves the scores what they are."""
    target: Target = field(default_factory=Target)
    min_area: float | None = None
    """Camera pixels."""
    normalise: Literal["none", "local"] = "none"
    region: Region | None = None
    mask: Path | None = None
    align: AlignWish = field(default_factory=AlignWish)
    units: tuple[UnitWish, ...] = ()
    group: str | None = None
    hold_back: float | None = None
    """Share of the good images that only set the limit; None: none where a kind is fitted in seconds, else a third."""
    own_size: bool = False
    """Whether the detector's picture has the area that the kind works best at, in the shape of what is inspected."""
    resume: Path | None = None
    """Bundle whose weights the training goes on from."""
    workers: Workers = ALONE
    """Who trains together, and on what; autoencoders only."""
    interruptible: Callable[[], AbstractContextManager[Callable[[], bool]]] = field(
        default=lambda: nullcontext(lambda: False), repr=False
    )
    """Entered for the training alone; gives what says whether somebody wants it to end."""


def train(order: Order) -> Bundle:
    """Split by group, fit, tune, calibrate, and write a bundle that can run.

    Raises:
        DataError: too few pictures, one that cannot be read, pictures of mixed depth, a training that diverged, or an
            `out` that exists or is no UTF-8.
        UsageError: a part's name that no line takes, a size that the detector cannot take, or a mask that is none.
    """
    native_path(order.out)  # hours of work would end in a bundle that nothing can open
    if order.out.exists():
        raise DataError(f"{order.out} exists already: name a folder that does not, a bundle is never changed")
    check_part(order.part)
    if not (order.keep_aspect or _has_own_size(order)):
        check_size(order.detector, order.height, order.width)
    check_precision(order.precision)
    order.report("read pictures", 0.0)
    rng = np.random.default_rng(order.seed)
    material, sets = _cross_validated(order, rng) if is_cross_validated(order) else _held_back(order, rng)
    return calibrate(
        material,
        sets,
        target=order.target,
        created=order.created,
        rng=rng,
        out=order.out,
        report=order.report,
    )


def is_cross_validated(order: Order) -> bool:
    """Say whether all good images train, and the limit comes from models that have not seen each of them.

    A backbone that was pretrained on good images knows them all: then no fold is unseen, and some are held back.
    """
    detector = order.detector
    pretrained = isinstance(detector, BackboneSettings) and detector.backbone.startswith(ROTATION)
    return detector.CHEAP_FOLDS and order.hold_back is None and not pretrained


def _cross_validated(order: Order, rng: np.random.Generator) -> tuple[Material, Split]:
    sets = split_for_folds(find_material(order), rng)
    material = teach_part(order, sets.fit, sets.tune, rng, cross_validate=True)
    return material, Split(fit=(), tune=sets.tune, calibrate=(*sets.fit, *sets.tune))


def _held_back(order: Order, rng: np.random.Generator) -> tuple[Material, Split]:
    sets = split(find_material(order), rng, order.hold_back or HELD_BACK)
    if order.resume:
        refuse_leaks(order.resume, sets)
    check_target(len({picture.group for picture in sets.calibrate}), order.target)
    return teach_part(order, sets.fit, sets.tune, rng), sets


def find_material(order: Order) -> tuple[GoodPicture, ...]:
    """Return the good pictures that may teach and calibrate: all, but for the reference where parts are aligned.

    Raises:
        UsageError, DataError: as `find_good` and `reference_of`.
    """
    pictures = find_good(order.pictures, order.group)
    return without_reference(pictures, _reference(order)) if _is_aligned(order) else pictures


def teach_part(
    order: Order,
    fitting: Sequence[GoodPicture],
    tuning: Sequence[GoodPicture],
    rng: np.random.Generator,
    *,
    cross_validate: bool = False,
) -> Material:
    """Fit on the first pictures, stop and measure the usual by the second; no other picture is looked at.

    With `cross_validate` the material holds the score of each picture by a model that has not seen it.

    Raises:
        DataError: a picture that cannot be read, pictures of mixed depth, or a training that diverged.
        UsageError: a size that the detector cannot take, or a mask that is no picture.
    """
    images = [traits_of(read_picture(picture.path, order.channels)) for picture in (*fitting, *tuning)]
    sight = open_sight(draft_recipe(_draft(order), order.pictures, images), _reference(order))
    fit, _ = prepare_all(sight, fitting)
    tune, correlations = prepare_all(sight, tuning)
    sight = with_least(sight, correlations)
    recipe = sight.recipe
    ignore = read_ignore(order.mask, recipe) if order.mask else None
    start = order.clock()
    weights = open_weights(order.resume, order.detector, recipe) if order.resume else {}
    lesson = replace(
        _lesson(order, recipe, ignore, fit, tune, rng),
        weights=weights,
        lots=lots_of((*fitting, *tuning)),
        hidden=never_judged(recipe, ignore),
    )
    with order.interruptible() as stopping:
        lesson = replace(lesson, stopping=stopping)
        taught = teach(order.detector, lesson)
        lesson.workers.leave()
        deployed = _deploy(order, taught, lesson)
    contents = dict(deployed.contents)
    if ignore is not None:
        contents[IGNORE] = bytes(cv2.imencode(".png", ignore.astype(np.uint8) * 255)[1])
    if sight.reference is not None:
        contents[ALIGN] = encode_reference(sight.reference)
    if cross_validate:
        found = _held_out_levels(order, lesson, deployed, recipe, ignore)
        recipe = with_usual_levels(recipe, found)
        usual = [unit.usual for unit in recipe.units] or [1.0]
        worst = (max(level / one for level, one in zip(levels, usual, strict=True)) for levels in found)
        digests = (picture.digest for picture in (*fitting, *tuning))
        held_out = dict(zip(digests, worst, strict=True))
    else:
        held_out = {}
        recipe = with_usual(recipe, deployed.detector, ignore, tuple(tune))
    card = DetectorCard(
        kind=order.detector.kind,
        settings=order.detector.model_dump(exclude={"kind"}),
        precision=deployed.precision,
        precision_shift=deployed.shift,
        engine=ENGINE,
    )
    provenance = _provenance(order, fitting, tuning, deployed.fitted.steps, order.clock() - start)
    material = Material(
        recipe, card, provenance, contents, deployed.detector, ignore, aligner=sight.aligner, held_out=held_out
    )
    return with_limits(material, tuning, fit, tune)


def _held_out_levels(
    order: Order, lesson: Lesson, deployed: "_Deployed", recipe: Recipe, ignore: IgnoreMask | None
) -> list[tuple[float, ...]]:
    """Return for each picture of `lesson.good` the level of each unit, by a model that has not seen it."""
    found: list[tuple[float, ...]] = [()] * len(lesson.good)
    maps = held_out_maps(
        lambda part: teach(order.detector, part),
        lesson,
        deployed.fitted,
        lambda pictures: map(deployed.detector.network, pictures),
    )
    for done, (place, amap) in enumerate(maps):
        found[place] = levels_of(as_judged(amap, recipe, ignore), recipe)
        order.report("score good parts out of fold", done / len(found))
    return found


def _has_own_size(order: Order) -> bool:
    return order.own_size and order.detector.AREA_SIDE > 0


def _is_aligned(order: Order) -> bool:
    return order.align.kind != "none"


def _reference(order: Order) -> Path:
    return reference_of(order.pictures, order.align.reference)


def _draft(order: Order) -> Draft:
    return Draft(
        part=order.part,
        channels=order.channels,
        size_of=lambda width, height: _size(order, width, height),
        region=order.region,
        normalise=order.normalise,
        min_area=order.min_area,
        align=order.align,
        units=order.units,
    )


def _size(order: Order, width: int, height: int) -> tuple[int, int]:
    """Return the detector's size for what is inspected."""
    if _has_own_size(order):
        return own_size(order.detector, width, height)
    if not order.keep_aspect:
        return order.width, order.height
    size = nearest_size(order.detector, max(order.width, order.height), width, height)
    check_size(order.detector, size[1], size[0])
    return size


def _lesson(
    order: Order,
    recipe: Recipe,
    ignore: IgnoreMask | None,
    fit: Pictures,
    tune: Pictures,
    rng: np.random.Generator,
) -> Lesson:
    def levels(maps: Sequence[NDArray[np.float32]]) -> list[float]:
        return [level_of(as_judged(amap, recipe, ignore), recipe) for amap in maps]

    def report(progress: Progress) -> None:
        order.report(progress.words, progress.share)

    return Lesson(
        fit=fit,
        tune=tune,
        planted=_plant(tune, rng),
        corrupt=corrupt,
        augment=Augment(order.detector.augment),
        levels=levels,
        budget=order.budget,
        seed=order.seed,
        report=report,
        clock=order.clock,
        workers=order.workers,
    )


def _plant(tune: Pictures, rng: np.random.Generator) -> Pictures:
    """Return each tune picture twice, each time with another defect of random kind, size and contrast."""
    kinds = sorted(defects.PLANTERS)
    return np.stack(
        [
            defects.plant(
                picture, kinds[rng.integers(len(kinds))], rng.uniform(0.03, 0.15), rng.uniform(15, 60), rng
            ).picture
            for _ in range(_PLANTED_PER_PICTURE)
            for picture in tune
        ]
    )


@dataclass(frozen=True, slots=True)
class _Deployed:
    """A network and its residual as the line runs them."""

    detector: OpenVinoDetector
    contents: Mapping[str, bytes]
    """A bundle's files."""
    fitted: Fitted
    precision: Precision
    levels: Levels
    shift: float | None = None
    """Against float32."""


def _deploy(order: Order, taught: Taught, lesson: Lesson) -> _Deployed:
    """Export, and take the fastest precision that leaves the scores what they are.

    Raises:
        DataError: the user asks for a precision that this processor has not, or that moves the scores.
    """
    order.report("export", 0.0)
    network = to_onnx(
        taught.network.to(memory_format=torch.contiguous_format).eval(),
        (torch.from_numpy(lesson.tune[:1]),),
        ("picture",),
        "features",
    )
    reference = _deploy_in("f32", network, taught, lesson)
    for precision in lighter(order.precision, order.detector):
        order.report(f"try {precision}", 0.5)
        found = _deploy_in(precision, network, taught, lesson)
        if holds(reference.levels, found.levels):
            return replace(found, shift=shift(reference.levels, found.levels))
        if order.precision == precision:
            raise DataError(
                f"in {precision} a score moves by {shift(reference.levels, found.levels):.1%} of the limit, at most "
                f"{LARGEST_SHIFT:.0%} is allowed: leave --precision out, then the fastest that holds is taken"
            )
    return reference


def _deploy_in(precision: Precision, network: bytes, taught: Taught, lesson: Lesson) -> _Deployed:
    """Fit the residual on what the *deployed* network gives, and export that; the residual is float32 always."""
    files = network_files(network, precision, lesson.fit)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        run = OpenVinoNetwork(network_file(folder, precision), precision, usable_processors())
        fitted = taught.residual(lambda pictures: map(run, pictures))
        inputs = torch.from_numpy(lesson.tune[:1]), torch.from_numpy(run(lesson.tune[0]))
        (folder / RESIDUAL).write_bytes(
            to_onnx(fitted.graph, inputs, ("picture", "features"), *output_names(fitted.graph))
        )
        detector = OpenVinoDetector(network_file(folder, precision), folder / RESIDUAL, precision, usable_processors())
        contents = {
            **files,
            RESIDUAL: (folder / RESIDUAL).read_bytes(),
            WEIGHTS: save_tensors({k: v.contiguous() for k, v in taught.network.state_dict().items()}),
            "model.txt": _summary(taught.network, fitted.graph, inputs),
            **_files(fitted.history),
            REFERENCE: bytes(cv2.imencode(".png", np.median(lesson.tune, axis=0).astype(np.uint8)[..., ::-1])[1]),
        }
    good, planted = (
        lesson.levels([detector.residual(picture, detector.network(picture)) for picture in pictures])
        for pictures in (lesson.tune, lesson.planted)
    )
    return _Deployed(detector, contents, fitted, precision, Levels(good, planted))


def _summary(network: nn.Module, residual: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]) -> bytes:
    texts = summarise("network", network, inputs[:1]), summarise("residual", residual, inputs)
    return "\n".join(texts).encode()


def _files(history: History) -> dict[str, bytes]:
    """Return the history in two forms; nothing where nothing was trained."""
    return {"history.csv": history.as_csv(), "history.json": history.as_json()} if history.rows else {}


def _provenance(
    order: Order, fit: Sequence[GoodPicture], tune: Sequence[GoodPicture], steps: int, seconds: float
) -> Provenance:
    return Provenance(
        created=order.created,
        program=f"edge-inspector {__version__}",
        libraries=_versions(),
        processor=processor(),
        seed=order.seed,
        fit_digests=(*(picture.digest for picture in fit), *_seen_before(order), *_aligned_to(order)),
        tune_digests=tuple(picture.digest for picture in tune),
        steps=steps,
        seconds=round(seconds, 1),
    )


def _seen_before(order: Order) -> tuple[str, ...]:
    """Return the digests of what the weights to begin with were taught from."""
    if order.resume:
        return read_bundle(order.resume).manifest.provenance.fit_digests
    return seen_by(order.detector) if isinstance(order.detector, FeatureSettings) else ()


def _aligned_to(order: Order) -> tuple[str, ...]:
    return (digest_of(_reference(order)),) if _is_aligned(order) else ()


def _versions() -> Mapping[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}
