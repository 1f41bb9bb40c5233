"""One level, one verdict."""

import math

import numpy as np
import pytest
from factories import a_blob, a_decision
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.inspection.decide import decide
from edge_inspector.inspection.model import Reason, Verdict

LEVELS = st.floats(-10, 10, width=32)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_level_that_is_not_finite_is_never_ok(bad: float) -> None:
    """NaN compares false with every threshold, so it would pass as OK if nobody looked."""
    judgement = decide(bad, (), a_decision())

    assert judgement.reason is Reason.NOT_FINITE
    assert judgement.verdict is Verdict.ERROR
    assert judgement.score is None


@given(level=LEVELS, threshold=st.floats(1e-6, 20, exclude_min=True))
def test_a_part_is_rejected_exactly_from_score_one(level: float, threshold: float) -> None:
    """1.0 is the limit, on the nose; without a review limit everything below it is OK."""
    judgement = decide(level, (a_blob(),), a_decision(threshold=threshold))

    assert judgement.score is not None
    assert (judgement.verdict is Verdict.NG) == (judgement.score >= 1)
    assert judgement.accept == (judgement.score < 1)


@given(level=LEVELS, limits=st.tuples(st.floats(0.01, 9), st.floats(0.01, 9)))
def test_between_review_limit_and_limit_a_person_looks(level: float, limits: tuple[float, float]) -> None:
    """REVIEW is a band of its own: never OK, never NG."""
    decision = a_decision(review=min(limits), threshold=max(limits))
    verdict = decide(level, (a_blob(),), decision).verdict
    expected = Verdict.OK if level < decision.lowest else Verdict.REVIEW if level < decision.threshold else Verdict.NG

    assert verdict is expected


def test_the_reason_can_be_read_by_an_operator() -> None:
    """How many blobs, how large, and the score."""
    one = decide(2.0, (a_blob(area=40),), a_decision())
    two = decide(2.0, (a_blob(area=40), a_blob(area=90)), a_decision())

    assert one.detail == "1 blob, largest 40 px, over the limit, score 2.00"
    assert two.detail == "2 blobs, largest 90 px, over the limit, score 2.00"
    assert decide(0.5, (), a_decision(min_area=9)).detail == "no blob of 9 px over the limit, score 0.50"


def test_an_image_that_is_strange_as_a_whole_is_rejected_for_that() -> None:
    """No box is needed for it, and the reason is its own."""
    judgement = decide(1.5, (), a_decision(), whole=1.2)

    assert judgement.reason is Reason.WHOLE_IMAGE
    assert judgement.verdict is Verdict.NG
    assert "the image as a whole over the limit" in judgement.detail


def test_a_whole_image_near_the_limit_is_looked_at() -> None:
    """As a blob would be."""
    assert decide(0.9, (), a_decision(review=0.8), whole=0.85).verdict is Verdict.REVIEW


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_whole_image_that_is_no_number_is_never_ok(bad: float) -> None:
    """NaN compares false with every threshold."""
    assert decide(0.1, (), a_decision(), whole=bad).verdict is Verdict.ERROR
