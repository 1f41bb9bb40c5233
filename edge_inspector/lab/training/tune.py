"""Search for the settings that find synthetic defects best; calibrate and test images are never looked at."""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from edge_inspector.detectors.autoencoders.reconstruction import DEFAULT_STEPS
from edge_inspector.detectors.kinds import check_size
from edge_inspector.detectors.settings import AutoencoderSettings, DetectorSettings, parse_settings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.errors import DataError, EdgeInspectorError
from edge_inspector.inspection.recipe import Region
from edge_inspector.lab.training.recipe_draft import MIN_AREA_SHARE, AlignmentRequest, check_part
from edge_inspector.lab.training.synthetic_score import SelectionImages, choose_images, synthetic_score
from edge_inspector.lab.training.train_part import TrainingRequest, find_material, train_part

Params: TypeAlias = Mapping[str, str | int | float]
"""What one trial was trained with, by name: detector, size, min_area_share, epochs, and the detector's settings."""
KINDS = ("cae:my", "unet", "padim", "patchcore")
SIZES = (128, 192, 256)
TRIAL_SECONDS = 60.0
_OF_THE_ORDER = {"detector", "size", "min_area_share", "epochs"}
_STUDY = "edge-inspector"


@dataclass(frozen=True, slots=True)
class Search:
    """What is to be searched, and for how long: whichever ends first."""

    base: TrainingRequest
    """What `train` would be asked for; detector, size, minimum area and budget are chosen here."""
    storage: Path
    """SQLite file of the trials; one that is there is gone on with."""
    seconds: float
    trials: int | None = None
    trial_seconds: float = TRIAL_SECONDS
    """Of training, for each trial."""
    kinds: Sequence[str] = KINDS
    sizes: Sequence[int] = SIZES


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial that has ended."""

    number: int
    """From 1 on."""
    score: float | None
    """None where it failed."""
    params: Params
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was found."""

    default_score: float | None
    """Chance that a synthetic defect scores higher than a good part, with the defaults; None where these failed."""
    score: float
    """The same with the best settings. The best of many trials flatters itself a little."""
    params: Params
    trials: int
    failed: int
    chosen_by: str
    command: str
    """Trains the part with the best settings."""
    tried: tuple[Trial, ...] = ()


def tune(search: Search) -> Tuned:
    """Try settings until the time is over, the defaults first, and return the best.

    Raises:
        DataError: too few images, a storage of another search, or no trial that came to an end.
        UsageError: no such kind.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for kind in search.kinds:
        parse_settings(kind, {})
    check_part(search.base.part)
    search.base.report("read images", 0.0)
    chooser = choose_images(find_material(search.base), search.base.seed, search.base.region)
    study = _open(search, chooser)
    _run(search, chooser, study)
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    failed = study.get_trials(states=(TrialState.FAIL,))
    if not finished:
        why = failed[-1].user_attrs.get("failure", "ended by hand") if failed else "there was no time for one"
        raise DataError(f"no trial came to an end: {why}")
    best = study.best_trial
    return Tuned(
        default_score=next((trial.value for trial in finished if _is_default(trial)), None),
        score=study.best_value,
        params=best.params,
        trials=len(finished),
        failed=len(failed),
        chosen_by=chooser.in_words(),
        command=train_command(search, best.params, chooser.inspected_px),
        tried=tuple(map(_ended, sorted((*finished, *failed), key=lambda trial: trial.number))),
    )


def _ended(trial: FrozenTrial) -> Trial:
    return Trial(trial.number + 1, trial.value, trial.params, str(trial.user_attrs.get("failure", "")))


def _open(search: Search, chooser: SelectionImages) -> optuna.Study:
    """Open the trials so far, refuse those of another search, and see that the defaults are tried first."""
    study = optuna.create_study(
        storage=f"sqlite:///{search.storage}",
        study_name=_STUDY,
        sampler=optuna.samplers.TPESampler(seed=search.base.seed, n_startup_trials=6),
        direction="maximize",
        load_if_exists=True,
    )
    searched, before = _searched(search, chooser), study.user_attrs.get("searched")
    if before not in (None, searched):
        raise DataError(
            f"{search.storage} holds trials of other images, kinds, sizes or options: name another --storage, or "
            "ask for the same"
        )
    study.set_user_attr("searched", searched)
    if not any(_is_default(trial) for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.WAITING))):
        study.enqueue_trial(_defaults(search, len(chooser.fit)), user_attrs={"defaults": True})
    return study


def _searched(search: Search, chooser: SelectionImages) -> str:
    request = search.base
    digests = [image.digest for image in (*chooser.fit, *chooser.tune, *chooser.judge)]
    said = [digests, list(search.kinds), list(search.sizes), search.trial_seconds, request.seed, request.normalise]
    said += [None if request.region is None else request.region.model_dump(), str(request.mask)]
    said += [str(request.align), str(request.units)] if request.align.kind != "none" or request.units else []
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _is_default(trial: FrozenTrial) -> bool:
    return bool(trial.user_attrs.get("defaults"))


def _run(search: Search, chooser: SelectionImages, study: optuna.Study) -> None:
    """Try one after the other; none is begun that would hardly end in time."""
    clock, begin = search.base.clock, search.base.clock()
    longest, done = 0.0, 0
    while (search.trials is None or done < search.trials) and clock() - begin + longest < search.seconds:
        start = clock()
        trial = study.ask()
        _try(search, chooser, study, trial, lambda: (clock() - begin) / search.seconds)
        longest, done = max(longest, clock() - start), done + 1


def _try(
    search: Search, chooser: SelectionImages, study: optuna.Study, trial: optuna.Trial, share: Callable[[], float]
) -> None:
    params = suggest(trial, search.kinds, search.sizes)
    name = f"trial {trial.number + 1}, {params['detector']} at {params['size']}"
    request = replace(
        order_of(search, params, chooser.inspected_px),
        report=lambda words, _share: search.base.report(f"{name}: {words}", min(0.99, max(0.001, share()))),
    )
    try:
        check_size(request.detector, request.height, request.width)
        model = train_part(request, chooser.fit, chooser.tune, np.random.default_rng(request.seed))
        score = synthetic_score(model, chooser.judge, request.seed)
    except EdgeInspectorError as error:
        trial.set_user_attr("failure", str(error))
        study.tell(trial, state=TrialState.FAIL)
    except KeyboardInterrupt:
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        study.tell(trial, score)


def suggest(trial: optuna.Trial, kinds: Sequence[str], sizes: Sequence[int]) -> Params:
    """Return what one trial is to be trained with."""
    kind = trial.suggest_categorical("detector", list(kinds))
    trial.suggest_categorical("size", list(sizes))
    trial.suggest_float("min_area_share", 0.0002, 0.005, log=True)
    settings = parse_settings(kind, {})
    if "smoothing" in type(settings).model_fields:
        trial.suggest_float("smoothing", 0.5, 6.0, step=0.5)
    if "residual" in type(settings).model_fields:
        trial.suggest_categorical("residual", ["ssim+l1", "ssim", "l1", "l2"])
    if isinstance(settings, AutoencoderSettings):
        trial.suggest_int("epochs", 1, 64, log=True)
        trial.suggest_float("rate", 3e-4, 3e-3, log=True)
        trial.suggest_categorical("augment", ["flip", ""])
    return dict(trial.params)


def _defaults(search: Search, fitted: int) -> dict[str, str | int | float]:
    """Return what `train` does unless told otherwise, as far as that is searched."""
    settings = parse_settings(search.kinds[0], {})
    epochs = max(1, min(64, round(DEFAULT_STEPS / max(1, fitted // _batch(settings)))))
    known = {**settings.model_dump(), "epochs": epochs, "min_area_share": MIN_AREA_SHARE}
    searched = ["smoothing", "min_area_share"]
    if isinstance(settings, AutoencoderSettings):
        searched += ["residual", "rate", "augment", "epochs"]
    size = min(search.sizes, key=lambda size: abs(size - search.base.width))
    return {"detector": settings.kind, "size": size} | {name: known[name] for name in searched if name in known}


def _batch(settings: DetectorSettings) -> int:
    return settings.batch if isinstance(settings, AutoencoderSettings) else 1


def order_of(search: Search, params: Params, inspected_px: int) -> TrainingRequest:
    """Return what `train` is asked for with these settings."""
    settings = parse_settings(
        str(params["detector"]), {name: str(value) for name, value in params.items() if name not in _OF_THE_ORDER}
    )
    epochs = params.get("epochs")
    return replace(
        search.base,
        detector=settings,
        width=int(params["size"]),
        height=int(params["size"]),
        channels=settings.CHANNELS,
        min_area=round(float(params["min_area_share"]) * inspected_px, 1) or 0.1,
        budget=Budget(None if epochs is None else int(epochs), search.trial_seconds),
    )


def train_command(search: Search, params: Params, inspected_px: int) -> str:
    """Return the command that trains the part with these settings."""
    request = order_of(search, params, inspected_px)
    said = ["edge-inspector", "train", str(request.images), "--part", "PART", "--out", "BUNDLE"]
    said += ["--detector", request.detector.kind, "--size", str(request.width), "--min-area", f"{request.min_area:g}"]
    if request.budget.epochs is not None:
        said += ["--epochs", str(request.budget.epochs)]
        said += ["--minutes", f"{search.trial_seconds / 60:g}"]
    for name in sorted(set(params) - _OF_THE_ORDER):
        said += ["--set", f"{name}={params[name]}"]
    said += ["--seed", str(request.seed)] if request.seed else []
    said += ["--group", request.group] if request.group else []
    said += ["--normalise-local"] if request.normalise == "local" else []
    said += ["--roi", _roi(request.region)] if request.region else []
    said += ["--mask", str(request.mask)] if request.mask else []
    said += _aligned(request.align)
    for unit in request.units:
        area = "" if unit.min_area is None else f",{unit.min_area:g}"
        said += ["--region", f"{_roi(unit.region)}{area}"]
    return shlex.join(said)


def _aligned(request: AlignmentRequest) -> list[str]:
    said = ["--align", request.kind] if request.kind != "none" else []
    said += [] if request.max_rotation is None else ["--max-rotation", f"{request.max_rotation:g}"]
    said += ["--template", _roi(request.template)] if request.template else []
    return said + (["--reference", str(request.reference)] if request.reference else [])


def _roi(region: Region) -> str:
    return f"{region.x},{region.y},{region.width},{region.height}"
