"""One judgement out of those of a part's views."""

from collections.abc import Sequence
from dataclasses import replace

from edge_inspector.inspection.inspector import Inspection
from edge_inspector.inspection.model import Verdict

_FROM_BEST = (Verdict.OK, Verdict.REVIEW, Verdict.NG, Verdict.INVALID, Verdict.ERROR)
"""What could not be judged is worse than what was found defective: nobody knows what else it has."""


def worst_of(views: Sequence[tuple[str, Inspection]]) -> tuple[str, Inspection]:
    """Return the view that decides, and its inspection with the highest score of all views.

    The highest score stays visible even where another view decides: a large defect is not hidden as "no image".
    """
    view, inspection = max(views, key=_badness)
    scores = [one.judgement.score for _, one in views if one.judgement.score is not None]
    judgement = inspection.judgement
    detail = f"view {view}: {judgement.detail}" if len(views) > 1 else judgement.detail
    return view, replace(inspection, judgement=replace(judgement, detail=detail, score=max(scores, default=None)))


def _badness(looked: tuple[str, Inspection]) -> tuple[int, float]:
    judgement = looked[1].judgement
    return _FROM_BEST.index(judgement.verdict), judgement.score or 0.0
