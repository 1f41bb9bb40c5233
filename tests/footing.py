"""What a test that rests on a trained bundle stands on: the bundle tells good parts from bad ones by a margin.

Every processor adds in an order of its own, and a short training makes much of the last bit: limits and scores differ
from one processor to another as they do from one random seed to another. So what tests judge lies further from the
limit than that, and this is asserted where the bundle is trained, not found out by a test of something else.
"""

from collections.abc import Iterable

from edge_inspector.bundle import Bundle, open_inspector

MOST_GOOD, LEAST_BAD = 0.85, 1.5
"""Scores, in units of the limit: what good parts may have at most, and what bad ones must have at least."""


def clear_cut(bundle: Bundle, good: Iterable[bytes], bad: Iterable[bytes]) -> Bundle:
    """Return the bundle when it tells these good and bad parts by the margin."""
    inspector = open_inspector(bundle, threads=1, clock_ns=lambda: 0)

    def scores(parts: Iterable[bytes]) -> list[float]:
        judgements = [inspector.inspect(part).judgement for part in parts]
        unjudged = {judgement.detail for judgement in judgements if judgement.score is None}
        assert not unjudged, f"a part cannot be judged: {unjudged}"
        return [judgement.score for judgement in judgements if judgement.score is not None]

    highest, lowest = max(scores(good)), min(scores(bad))
    assert highest <= MOST_GOOD, f"a good part scores {highest:.2f}, at most {MOST_GOOD} is expected: see {__name__}"
    assert lowest >= LEAST_BAD, f"a bad part scores {lowest:.2f}, at least {LEAST_BAD} is expected: see {__name__}"
    return bundle
