"""The statistics of the threshold: what rate so many good parts can show, and where the limit lies for it."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_inspector.bundle import SCORE_TOLERANCE, Bound, ExcludedImage
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.recipe import Decision
from edge_inspector.lab.data.dataset import LEAST_TO_CALIBRATE, GoodImage
from edge_inspector.lab.evaluation.metrics import binomial_cdf
from edge_inspector.lab.training.target import Target

HEADROOM = 1 + SCORE_TOLERANCE
"""A golden score may differ by as much, so the threshold is set as far above the levels."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold and the rate that it is good for."""

    value: float
    false_reject: float
    exceedances: int


def allowed_exceedances(groups: int, false_reject: float, confidence: float) -> int | None:
    """Return the largest r with P(Binomial(groups, false_reject) <= r) <= 1 - confidence, None where there is none."""
    allowed = None
    for exceedances in range(groups):
        if binomial_cdf(exceedances, groups, false_reject) > 1 - confidence:
            break
        allowed = exceedances
    return allowed


def groups_needed(false_reject: float, confidence: float, exceedances: int = 0) -> int:
    """Return the fewest good parts that can show `false_reject` at `confidence` when `exceedances` are above it."""
    most = exceedances + math.ceil(round(math.log(1 - confidence) / math.log(1 - false_reject), 9))
    if exceedances == 0:
        return most

    def shows(groups: int) -> bool:
        return binomial_cdf(exceedances, groups, false_reject) <= 1 - confidence

    least = most
    while not shows(most):
        least, most = most, 2 * most
    return bisect.bisect_left(range(most), x=True, lo=least, key=shows)


def supported_rate(groups: int, exceedances: int, confidence: float) -> float:
    """Return the smallest rate that `groups` parts with `exceedances` can show (Clopper-Pearson, one-sided)."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = binomial_cdf(exceedances, groups, middle) <= 1 - confidence
        low, high = (low, middle) if enough else (middle, high)
    return high


def set_threshold(levels: Sequence[float], target: Target, counted: int = 0) -> Threshold:
    """Return the threshold for the highest level of each group.

    With r exceedances allowed, it lies 1 % (the golden tolerance) above the (r+1)-th largest level: the chance that
    the true rate exceeds the target is at most 1 - confidence, whatever the levels' distribution (one-sided
    distribution-free tolerance limit, Wilks 1941).

    Args:
        levels: of the groups that have one.
        target: the rate; its review rate is not looked at.
        counted: further groups that count as exceedances at any threshold (INVALID, or excluded with nobody's name).

    Raises:
        DataError: too few groups for the target, all levels equal, or a level that is not finite.
    """
    ranked = sorted(levels, reverse=True)
    if not all(map(math.isfinite, ranked)):
        raise DataError("a calibration image has no finite level; the network is damaged, retrain the part")
    if len(ranked) < LEAST_TO_CALIBRATE:
        raise DataError(f"{len(ranked)} good parts to calibrate with, at least {LEAST_TO_CALIBRATE} are needed")
    if ranked[0] == ranked[-1]:
        raise DataError(f"all {len(ranked)} good parts have the same level {ranked[0]:g}: the detector sees nothing")
    groups = len(ranked) + counted
    rate, allowed = _allowed(groups, target, counted)
    if counted > allowed:
        raise DataError(_too_many_counted(groups, rate, target.confidence, allowed, counted))
    limit = ranked[allowed - counted]
    if limit <= 0:
        raise DataError(f"a threshold at level {limit:g} would reject every part that has any: lower --min-area")
    return Threshold(limit * HEADROOM, rate, allowed)


def check_target(groups: int, target: Target) -> None:
    """Refuse a target that so many good parts cannot show, before hours go into training.

    Raises:
        DataError: too few groups.
        UsageError: a review rate that is not above the rate of NG.
    """
    rate, _ = _allowed(groups, target, 0)
    _check_review(target, rate)


def _check_review(target: Target, rate: float) -> None:
    if target.review is not None and target.review <= rate:
        raise UsageError(f"--review {target.review}: expected more than the rate of NG, {rate:.1%}")


def _allowed(groups: int, target: Target, counted: int) -> tuple[float, int]:
    """Return the upper bound on the false-reject rate and how many of the groups may be above the threshold."""
    if target.false_reject is None:
        return supported_rate(groups, 0, target.confidence), 0
    allowed = allowed_exceedances(groups, target.false_reject, target.confidence)
    if allowed is None:
        needed = groups_needed(target.false_reject, target.confidence, counted)
        raise DataError(
            f"{groups} good parts cannot show a false-reject rate of {target.false_reject:.1%} at "
            f"{target.confidence:.0%} confidence, {needed} can: add {needed - groups} to those that calibrate"
        )
    return target.false_reject, allowed


def _too_many_counted(groups: int, rate: float, confidence: float, allowed: int, counted: int) -> str:
    return (
        f"{counted} of {groups} good parts are INVALID, or were excluded without being marked defective; for a "
        f"rate of {rate:.1%} at {confidence:.0%} confidence {allowed} may be so. Look at them; add "
        f"{groups_needed(rate, confidence, counted) - groups} good parts, ask for --false-reject "
        f"{math.ceil(1000 * supported_rate(groups, counted, confidence)) / 1000:g}, "
        "or let a named person mark what is defective: --exclude IMAGE --by NAME"
    )


@dataclass(frozen=True, slots=True)
class Groups:
    """The calibration parts, by how each counts."""

    levels: tuple[float, ...]
    """The highest level of each part that has one and is not counted below."""
    invalid_levels: tuple[float, ...]
    """The highest level of each part with an INVALID image, 0 where it has none."""
    excluded: int
    """Excluded parts that nobody marked defective."""

    @property
    def invalid(self) -> int:
        """Parts with an INVALID image."""
        return len(self.invalid_levels)

    @property
    def count(self) -> int:
        """All parts."""
        return len(self.levels) + self.invalid + self.excluded


def gather_groups(
    levels: Sequence[float | None], images: Sequence[GoodImage], excluded: Sequence[ExcludedImage] = ()
) -> Groups:
    """Return one entry for each part: ten images of one part prove no more than one."""
    highest: dict[str, float] = {}
    invalid = {image.group for level, image in zip(levels, images, strict=True) if level is None}
    gone = {one.group for one in excluded if not one.marked_by}
    for level, image in zip(levels, images, strict=True):
        highest[image.group] = max(level or 0.0, highest.get(image.group, -math.inf))
    return Groups(
        levels=tuple(level for group, level in highest.items() if group not in invalid | gone),
        invalid_levels=tuple(level for group, level in highest.items() if group in invalid - gone),
        excluded=len(gone),
    )


def decide_limits(groups: Groups, target: Target, min_area: float) -> tuple[Threshold, Decision, tuple[Bound, ...]]:
    """Return the threshold, the limits, and the bounds of NG, not OK and INVALID.

    A part that is INVALID is not OK at any limit, so it counts as an exceedance of the lowest one. NG is a part of not
    OK: without REVIEW both have the same bound. INVALID does not depend on the threshold: its bound is that of the
    parts that were so.

    Raises:
        DataError: the parts cannot show the rates.
        UsageError: a review rate that is not above the rate of NG.
    """
    invalid = Bound(
        of="INVALID",
        rate=supported_rate(groups.count, groups.invalid, target.confidence),
        exceedances=groups.invalid,
    )
    if target.review is None:
        found = set_threshold(groups.levels, target, groups.invalid + groups.excluded)
        both = {"rate": found.false_reject, "exceedances": found.exceedances}
        bounds = (Bound(of="NG", **both), Bound(of="not OK", **both), invalid)
        return found, Decision(threshold=found.value, min_area=min_area), bounds
    found = set_threshold((*groups.levels, *groups.invalid_levels), target, groups.excluded)
    _check_review(target, found.false_reject)
    lower = set_threshold(groups.levels, Target(target.review, target.confidence), groups.invalid + groups.excluded)
    bounds = (
        Bound(of="NG", rate=found.false_reject, exceedances=found.exceedances),
        Bound(of="not OK", rate=lower.false_reject, exceedances=lower.exceedances),
        invalid,
    )
    review = min(lower.value, found.value)
    return found, Decision(threshold=found.value, review=review, min_area=min_area), bounds
