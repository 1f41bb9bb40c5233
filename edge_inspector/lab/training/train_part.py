"""Train a part: good images in, a bundle that can run out."""

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
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
    DetectorCard,
    Provenance,
    network_file,
    read_bundle,
)
from edge_inspector.detectors.features.backbones import seen_by
from edge_inspector.detectors.folds import held_out_maps
from edge_inspector.detectors.history import History
from edge_inspector.detectors.kinds import check_size, nearest_size, output_names, own_size, train_detector
from edge_inspector.detectors.settings import DetectorSettings, FeatureSettings
from edge_inspector.detectors.summary import summarise
from edge_inspector.detectors.training_data import Budget, Fitted, Images, Progress, TrainedDetector, TrainingData
from edge_inspector.detectors.workers import ALONE, Workers
from edge_inspector.engines.openvino import ENGINE, OpenVinoDetector, OpenVinoNetwork, Precision, usable_processors
from edge_inspector.errors import DataError
from edge_inspector.inspection.preprocess import IgnoreMask
from edge_inspector.inspection.recipe import Recipe, Region
from edge_inspector.inspection.units import as_judged, level_of, levels_of, never_judged
from edge_inspector.lab.data.dataset import (
    GoodImage,
    digest_of,
    find_good,
    read_image,
)
from edge_inspector.lab.data.lots import lots_of
from edge_inspector.lab.data.traits import traits_of
from edge_inspector.lab.machine import processor
from edge_inspector.lab.training import synthetic_defects as defects
from edge_inspector.lab.training.augment import Augment
from edge_inspector.lab.training.corrupt import corrupt
from edge_inspector.lab.training.export import to_onnx
from edge_inspector.lab.training.limits import with_limits
from edge_inspector.lab.training.precision import (
    LARGEST_SHIFT,
    Levels,
    PrecisionChoice,
    holds,
    lighter,
    network_files,
    shift,
)
from edge_inspector.lab.training.recipe_draft import (
    AlignmentRequest,
    RecipeDraft,
    RegionRequest,
    draft_recipe,
    read_ignore,
)
from edge_inspector.lab.training.reference import (
    encode_reference,
    open_preparation,
    prepare_all,
    reference_of,
    with_least,
    without_reference,
)
from edge_inspector.lab.training.resume import open_weights
from edge_inspector.lab.training.target import Target
from edge_inspector.lab.training.trained_model import TrainedModel
from edge_inspector.lab.training.typical_variation import with_typical, with_usual_levels

_SYNTHETIC_PER_IMAGE = 2
_LIBRARIES = ("torch", "onnx", "openvino", "opencv-python", "numpy")


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What the user asks to be trained."""

    images: Path
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
    """Whether the detector's image has the shape of the inspected one; its longer side is that of the two above."""
    channels: int = 1
    budget: Budget = field(default_factory=lambda: Budget(None, None))
    seed: int = 0
    precision: PrecisionChoice = "f32"
    """Of the network on the line; `auto` is the fastest that leaves the scores what they are."""
    target: Target = field(default_factory=Target)
    min_area: float | None = None
    """Camera pixels."""
    normalise: Literal["none", "local"] = "none"
    region: Region | None = None
    mask: Path | None = None
    align: AlignmentRequest = field(default_factory=AlignmentRequest)
    units: tuple[RegionRequest, ...] = ()
    group: str | None = None
    hold_back: float | None = None
    """Share of the good images that only set the limit; None: none where a kind is fitted in seconds, else a third."""
    own_size: bool = False
    """Whether the detector's image has the area that the kind works best at, in the shape of what is inspected."""
    resume: Path | None = None
    """Bundle whose weights the training goes on from."""
    workers: Workers = ALONE
    """Who trains together, and on what; autoencoders only."""
    interruptible: Callable[[], AbstractContextManager[Callable[[], bool]]] = field(
        default=lambda: nullcontext(lambda: False), repr=False
    )
    """Entered for the training alone; gives what says whether somebody wants it to end."""


def find_material(request: TrainingRequest) -> tuple[GoodImage, ...]:
    """Return the good images that may train and calibrate: all, but for the reference where parts are aligned.

    Raises:
        UsageError, DataError: as `find_good` and `reference_of`.
    """
    images = find_good(request.images, request.group)
    return without_reference(images, _reference(request)) if _is_aligned(request) else images


def train_part(
    request: TrainingRequest,
    fitting: Sequence[GoodImage],
    tuning: Sequence[GoodImage],
    rng: np.random.Generator,
    *,
    cross_validate: bool = False,
) -> TrainedModel:
    """Fit on the first images, stop and measure the typical variation by the second; no other image is looked at.

    With `cross_validate` the material holds the score of each image by a model that has not seen it.

    Raises:
        DataError: an image that cannot be read, images of mixed depth, or a training that diverged.
        UsageError: a size that the detector cannot take, or a mask that is not an image.
    """
    images = [traits_of(read_image(image.path, request.channels)) for image in (*fitting, *tuning)]
    preparation = open_preparation(draft_recipe(_recipe_draft(request), request.images, images), _reference(request))
    fit, _ = prepare_all(preparation, fitting)
    tune, correlations = prepare_all(preparation, tuning)
    preparation = with_least(preparation, correlations)
    recipe = preparation.recipe
    ignore = read_ignore(request.mask, recipe) if request.mask else None
    start = request.clock()
    weights = open_weights(request.resume, request.detector, recipe) if request.resume else {}
    data = replace(
        _training_data(request, recipe, ignore, fit, tune, rng),
        weights=weights,
        lots=lots_of((*fitting, *tuning)),
        hidden=never_judged(recipe, ignore),
    )
    with request.interruptible() as stopping:
        data = replace(data, stopping=stopping)
        trained = train_detector(request.detector, data)
        data.workers.leave()
        deployed = _deploy(request, trained, data)
    contents = dict(deployed.contents)
    if ignore is not None:
        contents[IGNORE] = bytes(cv2.imencode(".png", ignore.astype(np.uint8) * 255)[1])
    if preparation.reference is not None:
        contents[ALIGN] = encode_reference(preparation.reference)
    if cross_validate:
        found = _held_out_levels(request, data, deployed, recipe, ignore)
        recipe = with_usual_levels(recipe, found)
        typical = [unit.typical for unit in recipe.units] or [1.0]
        worst = (max(level / one for level, one in zip(levels, typical, strict=True)) for levels in found)
        digests = (image.digest for image in (*fitting, *tuning))
        held_out = dict(zip(digests, worst, strict=True))
    else:
        held_out = {}
        recipe = with_typical(recipe, deployed.detector, ignore, tuple(tune))
    card = DetectorCard(
        kind=request.detector.kind,
        settings=request.detector.model_dump(exclude={"kind"}),
        precision=deployed.precision,
        precision_shift=deployed.shift,
        engine=ENGINE,
    )
    provenance = _provenance(request, fitting, tuning, deployed.fitted.steps, request.clock() - start)
    model = TrainedModel(
        recipe, card, provenance, contents, deployed.detector, ignore, aligner=preparation.aligner, held_out=held_out
    )
    return with_limits(model, tuning, fit, tune)


def _held_out_levels(
    request: TrainingRequest, data: TrainingData, deployed: "_Deployed", recipe: Recipe, ignore: IgnoreMask | None
) -> list[tuple[float, ...]]:
    """Return for each image of `data.good` the level of each unit, by a model that has not seen it."""
    found: list[tuple[float, ...]] = [()] * len(data.good)
    maps = held_out_maps(
        lambda part: train_detector(request.detector, part),
        data,
        deployed.fitted,
        lambda images: map(deployed.detector.network, images),
    )
    for done, (place, amap) in enumerate(maps):
        found[place] = levels_of(as_judged(amap, recipe, ignore), recipe)
        request.report("score good parts out of fold", done / len(found))
    return found


def has_own_size(request: TrainingRequest) -> bool:
    """Say whether the detector's image has the area that its kind works best at."""
    return request.own_size and request.detector.AREA_SIDE > 0


def _is_aligned(request: TrainingRequest) -> bool:
    return request.align.kind != "none"


def _reference(request: TrainingRequest) -> Path:
    return reference_of(request.images, request.align.reference)


def _recipe_draft(request: TrainingRequest) -> RecipeDraft:
    return RecipeDraft(
        part=request.part,
        channels=request.channels,
        size_of=lambda width, height: _size(request, width, height),
        region=request.region,
        normalise=request.normalise,
        min_area=request.min_area,
        align=request.align,
        units=request.units,
    )


def _size(request: TrainingRequest, width: int, height: int) -> tuple[int, int]:
    """Return the detector's size for what is inspected."""
    if has_own_size(request):
        return own_size(request.detector, width, height)
    if not request.keep_aspect:
        return request.width, request.height
    size = nearest_size(request.detector, max(request.width, request.height), width, height)
    check_size(request.detector, size[1], size[0])
    return size


def _training_data(
    request: TrainingRequest,
    recipe: Recipe,
    ignore: IgnoreMask | None,
    fit: Images,
    tune: Images,
    rng: np.random.Generator,
) -> TrainingData:
    def levels(maps: Sequence[NDArray[np.float32]]) -> list[float]:
        return [level_of(as_judged(amap, recipe, ignore), recipe) for amap in maps]

    def report(progress: Progress) -> None:
        request.report(progress.words, progress.share)

    return TrainingData(
        fit=fit,
        tune=tune,
        synthetic=_draw_defects(tune, rng),
        corrupt=corrupt,
        augment=Augment(request.detector.augment),
        levels=levels,
        budget=request.budget,
        seed=request.seed,
        report=report,
        clock=request.clock,
        workers=request.workers,
    )


def _draw_defects(tune: Images, rng: np.random.Generator) -> Images:
    """Return each tune image twice, each time with another defect of random kind, size and contrast."""
    kinds = sorted(defects.CHOOSING)
    return np.stack(
        [
            defects.draw_defect(
                image, kinds[rng.integers(len(kinds))], rng.uniform(0.03, 0.15), rng.uniform(15, 60), rng
            ).image
            for _ in range(_SYNTHETIC_PER_IMAGE)
            for image in tune
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
    levels: Callable[[], Levels]
    """What a lighter precision must not move; worked out only where one is tried."""
    shift: float | None = None
    """Against float32."""


def _deploy(request: TrainingRequest, trained: TrainedDetector, data: TrainingData) -> _Deployed:
    """Export, and take the fastest precision that leaves the scores what they are.

    Raises:
        DataError: the user asks for a precision that this processor has not, or that moves the scores.
    """
    request.report("export", 0.0)
    network = to_onnx(
        trained.network.to(memory_format=torch.contiguous_format).eval(),
        (torch.from_numpy(data.tune[:1]),),
        ("picture",),
        "features",
    )
    reference = _deploy_in("f32", network, trained, data)
    for precision in lighter(request.precision, request.detector):
        request.report(f"try {precision}", 0.5)
        keep = reference.fitted if request.detector.FITTED_ONCE else None
        found = _deploy_in(precision, network, trained, data, keep)
        if holds(reference.levels(), found.levels()):
            return replace(found, shift=shift(reference.levels(), found.levels()))
        if request.precision == precision:
            moved = shift(reference.levels(), found.levels())
            raise DataError(
                f"in {precision} a score moves by {moved:.1%} of the limit, at most {LARGEST_SHIFT:.0%} is "
                f"allowed: leave --precision out, then the fastest that holds is taken"
            )
    return reference


def _deploy_in(
    precision: Precision, network: bytes, trained: TrainedDetector, data: TrainingData, fitted: Fitted | None = None
) -> _Deployed:
    """Fit the residual on what the *deployed* network gives, and export that; the residual is float32 always."""
    files = network_files(network, precision, data.fit)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        run = OpenVinoNetwork(network_file(folder, precision), precision, usable_processors())
        fitted = fitted or trained.residual(lambda images: map(run, images))
        inputs = torch.from_numpy(data.tune[:1]), torch.from_numpy(run(data.tune[0]))
        (folder / RESIDUAL).write_bytes(
            to_onnx(fitted.graph, inputs, ("picture", "features"), *output_names(fitted.graph))
        )
        detector = OpenVinoDetector(network_file(folder, precision), folder / RESIDUAL, precision, usable_processors())
        contents = {
            **files,
            RESIDUAL: (folder / RESIDUAL).read_bytes(),
            WEIGHTS: save_tensors({k: v.contiguous() for k, v in trained.network.state_dict().items()}),
            "model.txt": _summary(trained.network, fitted.graph, inputs),
            **_files(fitted.history),
            REFERENCE: bytes(cv2.imencode(".png", np.median(data.tune, axis=0).astype(np.uint8)[..., ::-1])[1]),
        }

    @cache
    def levels() -> Levels:
        good, synthetic = (
            data.levels([detector.residual(image, detector.network(image)) for image in images])
            for images in (data.tune, data.synthetic)
        )
        return Levels(good, synthetic)

    return _Deployed(detector, contents, fitted, precision, levels)


def _summary(network: nn.Module, residual: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]) -> bytes:
    texts = summarise("network", network, inputs[:1]), summarise("residual", residual, inputs)
    return "\n".join(texts).encode()


def _files(history: History) -> dict[str, bytes]:
    """Return the history in two forms; nothing where nothing was trained."""
    return {"history.csv": history.as_csv(), "history.json": history.as_json()} if history.rows else {}


def _provenance(
    request: TrainingRequest, fit: Sequence[GoodImage], tune: Sequence[GoodImage], steps: int, seconds: float
) -> Provenance:
    return Provenance(
        created=request.created,
        program=f"edge-inspector {__version__}",
        libraries=_versions(),
        processor=processor(),
        seed=request.seed,
        fit_digests=(*(image.digest for image in fit), *_seen_before(request), *_aligned_to(request)),
        tune_digests=tuple(image.digest for image in tune),
        steps=steps,
        seconds=round(seconds, 1),
    )


def _seen_before(request: TrainingRequest) -> tuple[str, ...]:
    """Return the digests of what the initial weights were trained on."""
    if request.resume:
        return read_bundle(request.resume).manifest.provenance.fit_digests
    return seen_by(request.detector) if isinstance(request.detector, FeatureSettings) else ()


def _aligned_to(request: TrainingRequest) -> tuple[str, ...]:
    return (digest_of(_reference(request)),) if _is_aligned(request) else ()


def _versions() -> Mapping[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}
