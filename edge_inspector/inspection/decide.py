"""The only place that can say OK."""

import math

from edge_inspector.inspection.model import Blob, Judgement, Reason
from edge_inspector.inspection.recipe import Decision


def decide(
    level: float, blobs: tuple[Blob, ...], decision: Decision, smallest: str = "", whole: float = 0.0
) -> Judgement:
    """Judge one part by the level of its map, and say why in words an operator can read.

    Args:
        level: of the part.
        blobs: what is over the lowest limit.
        decision: the limits.
        smallest: the smallest blob that counts, in words; the decision's minimum area where not said.
        whole: the level that the image as a whole gives alone; 0 for a detector that does not look at that.
    """
    if not (math.isfinite(level) and math.isfinite(whole)):
        # NaN compares false with every threshold, so it would pass as OK.
        return Judgement(Reason.NOT_FINITE, "the anomaly map is not finite")
    level = max(level, whole)
    score = level / decision.threshold
    if level < decision.lowest:
        counted = smallest or f"{decision.min_area:.0f} px"
        return Judgement(Reason.WITHIN_LIMIT, f"no blob of {counted} over the limit, score {score:.2f}", score)
    if whole >= decision.threshold:
        return Judgement(Reason.WHOLE_IMAGE, f"{_whole(blobs)} over the limit, score {score:.2f}", score, blobs)
    if level < decision.threshold:
        named = _whole(blobs) if whole >= decision.lowest else _named(blobs)
        return Judgement(Reason.NEAR_LIMIT, f"{named} over the review limit, score {score:.2f}", score, blobs)
    return Judgement(Reason.DEFECT, f"{_named(blobs)} over the limit, score {score:.2f}", score, blobs)


def _whole(blobs: tuple[Blob, ...]) -> str:
    beside = f", with {_named(blobs)}" if blobs else ""
    return f"the image as a whole{beside}"


def _named(blobs: tuple[Blob, ...]) -> str:
    count = "1 blob" if len(blobs) == 1 else f"{len(blobs)} blobs"
    return f"{count}, largest {max((blob.area for blob in blobs), default=0)} px,"
