"""The only place that can say OK."""

import math

from edge_inspector.inspection.model import Blob, Judgement, Reason
from edge_inspector.inspection.recipe import Decision


def decide(level: float, blobs: tuple[Blob, ...], decision: Decision, smallest: str = "") -> Judgement:
    """Judge one part by the level of its map, and say why in words an operator can read.

    Args:
        level: of the part.
        blobs: what is over the lowest limit.
        decision: the limits.
        smallest: the smallest blob that counts, in words; the decision's minimum area where not said.
    """
    if not math.isfinite(level):
        # NaN compares false with every threshold, so it would pass as OK.
        return Judgement(Reason.NOT_FINITE, "the anomaly map is not finite")
    score = level / decision.threshold
    if level < decision.lowest:
        counted = smallest or f"{decision.min_area:.0f} px"
        return Judgement(Reason.WITHIN_LIMIT, f"no blob of {counted} over the limit, score {score:.2f}", score)
    if level < decision.threshold:
        return Judgement(Reason.NEAR_LIMIT, f"{_named(blobs)} over the review limit, score {score:.2f}", score, blobs)
    return Judgement(Reason.DEFECT, f"{_named(blobs)} over the limit, score {score:.2f}", score, blobs)


def _named(blobs: tuple[Blob, ...]) -> str:
    count = "1 blob" if len(blobs) == 1 else f"{len(blobs)} blobs"
    return f"{count}, largest {max((blob.area for blob in blobs), default=0)} px,"
