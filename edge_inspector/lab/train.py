"""A whole training: good images in, a bundle that can run out."""

import numpy as np

from edge_inspector.atomic import check_new_folder
from edge_inspector.bundle import Bundle
from edge_inspector.detectors.features.backbones import ROTATION
from edge_inspector.detectors.kinds import check_size
from edge_inspector.detectors.settings import BackboneSettings
from edge_inspector.lab.calibration.calibrate import calibrate
from edge_inspector.lab.calibration.threshold import check_target
from edge_inspector.lab.data.dataset import Split, split, split_for_folds
from edge_inspector.lab.training.precision import check_precision
from edge_inspector.lab.training.recipe_draft import check_part
from edge_inspector.lab.training.resume import refuse_leaks
from edge_inspector.lab.training.train_part import TrainingRequest, find_material, has_own_size, train_part
from edge_inspector.lab.training.trained_model import TrainedModel
from edge_inspector.native import native_path

HELD_BACK = 1 / 3
"""Of the good images, to set the limit by, where they do not all train."""


def train(request: TrainingRequest) -> Bundle:
    """Split by group, fit, tune, calibrate, and write a bundle that can run.

    Raises:
        DataError: too few images, one that cannot be read, images of mixed depth, a training that diverged, or an
            `out` that exists or is not UTF-8.
        UsageError: a part's name that no line takes, a size that the detector cannot take, or a mask that is none.
    """
    native_path(request.out)  # hours of work would end in a bundle that nothing can open
    check_new_folder(request.out)
    check_part(request.part)
    if not (request.keep_aspect or has_own_size(request)):
        check_size(request.detector, request.height, request.width)
    check_precision(request.precision)
    request.report("read images", 0.0)
    rng = np.random.default_rng(request.seed)
    model, sets = _cross_validated(request, rng) if is_cross_validated(request) else _held_back(request, rng)
    return calibrate(
        model,
        sets,
        target=request.target,
        created=request.created,
        rng=rng,
        out=request.out,
        report=request.report,
    )


def is_cross_validated(request: TrainingRequest) -> bool:
    """Say whether all good images train, and the limit comes from models that have not seen each of them.

    A backbone that was pretrained on good images knows them all: then no fold is unseen, and some are held back.
    """
    detector = request.detector
    pretrained = isinstance(detector, BackboneSettings) and detector.backbone.startswith(ROTATION)
    return detector.CHEAP_FOLDS and request.hold_back is None and not pretrained


def _cross_validated(request: TrainingRequest, rng: np.random.Generator) -> tuple[TrainedModel, Split]:
    sets = split_for_folds(find_material(request), rng)
    model = train_part(request, sets.fit, sets.tune, rng, cross_validate=True)
    return model, Split(fit=(), tune=sets.tune, calibrate=(*sets.fit, *sets.tune))


def _held_back(request: TrainingRequest, rng: np.random.Generator) -> tuple[TrainedModel, Split]:
    sets = split(find_material(request), rng, request.hold_back or HELD_BACK)
    if request.resume:
        refuse_leaks(request.resume, sets)
    check_target(len({image.group for image in sets.calibrate}), request.target)
    return train_part(request, sets.fit, sets.tune, rng), sets
