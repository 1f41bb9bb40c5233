"""Does the line still give the parts that were trained? Charts that raise an alarm, and never move the threshold."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.model import Verdict
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.wire.messages import ChartHealth, Result

SUBGROUP = 50
"""Parts whose mean is one point of a chart."""
HOURS_A_MONTH = 720
_CHARTS = 5
"""They share the one false alarm a month."""
_LEAST_SAMPLE = 8
_BASELINES = 2000
_HALVINGS = 40

Sample: TypeAlias = NDArray[np.float64]
"""What good parts gave when the part was trained, float64 (count), ascending."""


@dataclass(frozen=True, slots=True)
class Chart:
    """The mean normal score of a subgroup's ranks among the trained parts; it must stay within the limit."""

    name: str
    sample: Sample = field(repr=False)
    limit: float

    def score(self, value: float) -> float:
        """Return the normal score of a value's rank: 0 in the middle of the sample, -2 or +2 at its ends."""
        return float(normal_scores(len(self.sample))[self._place(value)])

    def _place(self, value: float) -> int:
        """Return how many of the sample lie below; of equal ones, half."""
        left, right = (int(np.searchsorted(self.sample, value, side)) for side in ("left", "right"))
        return (left + right) // 2


def normal_scores(count: int) -> NDArray[np.float64]:
    """Return the normal score of each of the count + 1 places that a value can have among `count`."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((place + 0.5) / (count + 1)) for place in range(count + 1)])


def set_limit(count: int, false_alarms: float, rng: np.random.Generator, subgroup: int = SUBGROUP) -> float:
    """Return the limit of a subgroup's mean normal score for a rate of false alarms a subgroup, by simulation.

    The trained sample is itself random: with few parts in it, a line that gives the very same parts lies beside it for
    ever. So trained samples are drawn - the gaps between ordered uniform values, Dirichlet(1, ..., 1) - each gives the
    true mean and deviation of the scores, and the limit is where the chance of a subgroup beyond it, averaged over
    them, is `false_alarms`. No distribution of the values is assumed; that parts follow each other independently is.
    The mean number of subgroups to a false alarm (ARL) is 1 / `false_alarms` or more.
    """
    scores = normal_scores(count)
    gaps = rng.dirichlet(np.ones(count + 1), _BASELINES)
    mean = gaps @ scores
    spread = np.sqrt(np.maximum(gaps @ scores**2 - mean**2, 1e-12) / subgroup)
    low, high = 0.0, 8.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        chance = (_tail((middle - mean) / spread) + _tail((middle + mean) / spread)).mean()
        low, high = (middle, high) if chance > false_alarms else (low, middle)
    return high


def _tail(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chance that a normal value is larger."""
    return np.array([0.5 * math.erfc(value / math.sqrt(2)) for value in distance])


def set_review_limit(
    beyond: int, count: int, false_alarms: float, rng: np.random.Generator, subgroup: int = SUBGROUP
) -> int:
    """Return the most REVIEW parts in a subgroup for a rate of false alarms, `beyond` of `count` trained ones being it.

    The true share is drawn from Beta(beyond + 1, count - beyond + 1), what it can be after so many trained parts.
    """
    shares = rng.beta(beyond + 1, count - beyond + 1, _BASELINES)
    chance = np.zeros(_BASELINES)
    for parts in range(subgroup, 0, -1):
        chance += math.comb(subgroup, parts) * shares**parts * (1 - shares) ** (subgroup - parts)
        if chance.mean() > false_alarms:
            return parts
    return 0


@dataclass(frozen=True, slots=True)
class Charts:
    """All charts of one part."""

    ranks: tuple[Chart, ...]
    reviews: int
    """Most REVIEW parts in a subgroup."""


def make_charts(recipe: Recipe, levels: Sequence[float], parts_per_hour: float, rng: np.random.Generator) -> Charts:
    """Return a part's charts, for at most one false alarm a month at the station's rate.

    Args:
        recipe: its threshold, its review limit, and what was typical of the tune images.
        levels: of the good parts that set the threshold.
        parts_per_hour: that the station judges.
        rng: seeded: the same bundle has the same limits after a restart.
    """
    false_alarms = SUBGROUP / (parts_per_hour * HOURS_A_MONTH * _CHARTS)
    typical, decision = recipe.typical, recipe.decision
    samples: Mapping[str, Iterable[float]] = {
        "score": (level / decision.threshold for level in levels),
        "brightness": typical.brightness,
        "focus": typical.focus,
        "offset": typical.offset,
    }
    ranks = []
    for name, values in samples.items():
        sample = np.sort(np.fromiter(values, np.float64))
        if len(sample) >= _LEAST_SAMPLE:
            limit = set_limit(len(sample), false_alarms, rng)
            if limit < normal_scores(len(sample))[-1]:  # else no drift could reach it
                ranks.append(Chart(name, sample, limit))
    reviews = sum(level >= decision.lowest for level in levels)
    return Charts(tuple(ranks), set_review_limit(reviews, len(levels), false_alarms, rng))


class ControlCharts:
    """The running subgroup of the active part, and the last point of each chart; belongs to the supervising thread."""

    def __init__(self, charts: Mapping[str, Charts]) -> None:
        self._charts = charts
        self._part = ""
        self._scores: dict[str, list[float]] = {}
        self._parts = self._reviews = 0
        self._points: tuple[ChartHealth, ...] = ()

    def take(self, result: Result) -> bool:
        """Learn from a result; say whether a subgroup is complete and the points are new."""
        if result.challenge:
            return False  # meant to be unusual
        if result.part != self._part:
            self._part, self._points = result.part, ()
            self._begin()
        charts = self._charts.get(result.part)
        if charts is None or result.verdict not in (Verdict.OK, Verdict.REVIEW) or result.score is None:
            return False
        values = {"score": result.score, **_measured(result.quality)}
        for chart in charts.ranks:
            if chart.name in values:
                self._scores.setdefault(chart.name, []).append(chart.score(values[chart.name]))
        self._parts += 1
        self._reviews += result.verdict is Verdict.REVIEW
        if self._parts < SUBGROUP:
            return False
        self._points = tuple(self._close(charts))
        self._begin()
        return True

    def _begin(self) -> None:
        self._scores, self._parts, self._reviews = {}, 0, 0

    def _close(self, charts: Charts) -> Iterable[ChartHealth]:
        for chart in charts.ranks:
            scores = self._scores.get(chart.name, [])
            if len(scores) == SUBGROUP:
                mean = sum(scores) / SUBGROUP
                yield ChartHealth(
                    chart=chart.name,
                    value=round(mean, 3),
                    limit=round(chart.limit, 3),
                    drifted=abs(mean) > chart.limit,
                )
        share, most = self._reviews / SUBGROUP, charts.reviews / SUBGROUP
        yield ChartHealth(chart="review", value=share, limit=most, drifted=self._reviews > charts.reviews)

    @property
    def points(self) -> tuple[ChartHealth, ...]:
        """The last subgroup on each chart; empty until one is complete."""
        return self._points

    @property
    def alarm(self) -> str:
        """What has drifted, in words; empty where nothing has."""
        found = [_in_words(point) for point in self._points if point.drifted]
        return f"part {self._part}: {'; '.join(found)}" if found else ""


def _measured(quality: Mapping[str, float]) -> dict[str, float]:
    """Return what is charted of an image's quality."""
    found = {name: quality[name] for name in ("brightness", "focus") if name in quality}
    offsets = [abs(quality[name]) for name in ("offset_x", "offset_y") if name in quality]
    return found | ({"offset": max(offsets)} if offsets else {})


def _in_words(point: ChartHealth) -> str:
    if point.chart == "review":
        return f"{point.value:.0%} of the last {SUBGROUP} parts are REVIEW, expected is at most {point.limit:.0%}"
    way = "up" if point.value > 0 else "down"
    return f"{point.chart} has gone {way} ({point.value:+.2f}, expected is within {point.limit:.2f})"
