"""The charts keep their promise of false alarms, find a drift, survive a restart, and change no verdict."""

from pathlib import Path

import numpy as np
import pytest
from brokers import until
from daemons import Subscriber
from factories import a_recipe, a_result_builder
from stations import Bench, wait_until_ready

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.model import Reason
from edge_inspector.inspection.recipe import TypicalQuality
from edge_inspector.line.health.control_charts import (
    HOURS_A_MONTH,
    SUBGROUP,
    Chart,
    Charts,
    ControlCharts,
    make_charts,
    normal_scores,
    set_limit,
    set_review_limit,
)
from edge_inspector.wire.messages import Result


@pytest.mark.parametrize("count", [10, 40, 100])
@pytest.mark.parametrize("false_alarms", [0.01, 0.002])
def test_false_alarms_are_as_rare_as_stated(count: int, false_alarms: float) -> None:
    """Simulated part by part, with other chance than the limit's: 60,000 subgroups beside 6,000 trained samples."""
    rng = np.random.default_rng(7)
    limit, scores = set_limit(count, false_alarms, np.random.default_rng(0)), normal_scores(count)
    alarms = 0
    for _ in range(6000):
        sample = np.sort(rng.standard_gamma(2, count))
        means = scores[np.searchsorted(sample, rng.standard_gamma(2, (10, SUBGROUP)))].mean(1)
        alarms += int((abs(means) > limit).sum())

    assert 0.3 * false_alarms < alarms / 60_000 < 1.3 * false_alarms


@pytest.mark.parametrize("parts_per_hour", [60, 600, 20_000])
def test_one_false_alarm_a_month_at_the_stations_rate(parts_per_hour: int) -> None:
    """All five charts together: the expected number of points beyond their limits in a month is one."""
    levels = np.random.default_rng(1).gamma(20, 0.02, 60)
    charts = make_charts(a_recipe(), levels.tolist(), parts_per_hour, np.random.default_rng(0))
    (chart,) = charts.ranks
    each = 1 / (5 * parts_per_hour * HOURS_A_MONTH / SUBGROUP)

    assert chart.limit == pytest.approx(set_limit(60, each, np.random.default_rng(0)))
    assert chart.limit < normal_scores(60)[-1]


@pytest.mark.parametrize(("count", "shift"), [(30, 1.3), (60, 1.0), (100, 0.9)])
def test_a_shift_is_found_within_an_hour(count: int, shift: float) -> None:
    """Of so many deviations, at 600 parts an hour (twelve subgroups); nineteen times of twenty, whatever trained it."""
    rng = np.random.default_rng(3)
    limit = set_limit(count, SUBGROUP / (600 * HOURS_A_MONTH * 5), np.random.default_rng(0))
    scores, found = normal_scores(count), 0
    for _ in range(200):
        sample = np.sort(rng.standard_normal(count))
        means = scores[np.searchsorted(sample, shift + rng.standard_normal((12, SUBGROUP)))].mean(1)
        found += bool((means > limit).any())

    assert found >= 190


def test_review_parts_are_charted_with_what_was_trained() -> None:
    """The limit holds over all shares that could have given so few REVIEW parts among the trained ones."""
    rng = np.random.default_rng(5)
    most = set_review_limit(2, 60, 0.01, np.random.default_rng(0))
    counts = rng.binomial(SUBGROUP, rng.beta(3, 59, 100_000))

    assert (counts > most).mean() <= 0.012
    assert (counts > most - 2).mean() > 0.01


def test_too_few_trained_parts_give_no_chart() -> None:
    """A limit that no drift could reach is no chart."""
    recipe = a_recipe(typical=TypicalQuality(brightness=(100.0,) * 7, focus=(0.1, 0.2) * 20))
    charts = make_charts(recipe, [0.5, 0.6] * 20, 600, np.random.default_rng(0))

    assert [chart.name for chart in charts.ranks] == ["score", "focus"]


def a_result(score: float, reason: Reason = Reason.WITHIN_LIMIT, **changes: object) -> Result:
    """Return a result of part washer."""
    return a_result_builder(reason=reason)("ledger-1", 1, 0).model_copy(update={"score": score, **changes})


def a_drift() -> ControlCharts:
    """Return the charts of part washer: scores of .31 to .70 and brightness 101 to 140 are usual."""
    typical = np.arange(1, 41, dtype=np.float64)
    ranks = (Chart("score", 0.3 + typical / 100, 1.0), Chart("brightness", 100 + typical, 1.0))
    return ControlCharts({"washer": Charts(ranks, 5)})


def feed(drift: ControlCharts, score: float, reason: Reason = Reason.WITHIN_LIMIT, **changes: object) -> list[bool]:
    """Give a subgroup of equal results."""
    return [drift.take(a_result(score, reason, **changes)) for _ in range(SUBGROUP)]


def test_a_drift_is_said_in_words_and_ends() -> None:
    """The alarm is there with the subgroup that shows it, and goes with the next that does not."""
    drift = a_drift()
    complete = feed(drift, 0.68)

    assert complete == [False] * (SUBGROUP - 1) + [True]
    assert "score has gone up" in drift.alarm
    assert [point.chart for point in drift.points] == ["score", "review"]
    feed(drift, 0.5, quality={"brightness": 104.0})
    assert drift.alarm.startswith("part washer: brightness has gone down")
    feed(drift, 0.5)
    assert not drift.alarm


def test_rejected_parts_do_not_move_the_charts() -> None:
    """A bad batch is a matter of its verdicts; INVALID and ERROR say nothing of the part."""
    drift = a_drift()
    for reason in (Reason.DEFECT, Reason.DARK, Reason.LATE):
        assert not any(feed(drift, 3.0, reason))

    assert drift.points == ()


def test_more_review_parts_than_usual_are_a_drift() -> None:
    """Every one of the subgroup is REVIEW, five would be usual."""
    drift = a_drift()
    feed(drift, 0.5, Reason.NEAR_LIMIT)

    assert "100% of the last 50 parts are REVIEW, expected is at most 10%" in drift.alarm


def test_another_part_begins_its_own_subgroup() -> None:
    """Parts of two kinds are never averaged, and a part without charts is left alone."""
    drift = a_drift()
    for _ in range(SUBGROUP - 1):
        drift.take(a_result(0.68))

    assert not drift.take(a_result(0.68, part="other"))
    assert not drift.take(a_result(0.68))
    assert drift.points == ()


def test_an_alarm_outlives_a_restart(tmp_path: Path, heard: Subscriber, bundle: Bundle) -> None:
    """Good parts near the limit: all are OK; alarm and health say that they drift, and say so after a restart."""
    with Bench(tmp_path, heard._port, bundles={"washer": bundle}) as bench, bench.opens() as ledger:
        wait_until_ready(heard)
        for number in range(SUBGROUP):
            bench.send(f"p{number}", 0.999)
        _wait_for_drift(heard, 0)
        counters = ledger.counters.since_reset(0)
    before = len(heard.heard)
    with Bench(tmp_path, heard._port, bundles={"washer": bundle}):
        _wait_for_drift(heard, before)

    assert (counters.total, counters.ok) == (SUBGROUP, SUBGROUP)


def _wait_for_drift(heard: Subscriber, before: int) -> None:
    """Return when the alarm and the chart of the score were said after the first `before` messages."""

    def said(topic: str, words: bytes) -> bool:
        return any(h.topic == topic and words in h.payload for h in heard.heard[before:])

    until(lambda: said("alarms", b'"drift"'), "the alarm")
    until(lambda: said("health", b'"chart":"score"'), "the chart")
