"""Which good images were taken together: images of one lot must never be on both sides of a fold."""

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from edge_inspector.lab.data.dataset import GoodImage

_STAMP = re.compile(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)[T_ -]?(\d\d)[-:.]?(\d\d)[-:.]?(\d\d)")
"""Year to second, as cameras and collections write it into a file's name."""
_GAP = 10.0
"""Times the middle gap between two images: a longer one parts two lots."""
_LEAST_LOTS = 3
"""Fewer say nothing: then each part is a lot, in the order in which they were taken."""


def lots_of(images: Sequence[GoodImage]) -> tuple[int, ...]:
    """Return the lot of each image, numbered in the order in which they were taken.

    Images of one group (sub-folder, serial, near-duplicates) are of one lot. Where every file's name carries a time,
    lots end at long gaps, and times give the order; else names do.
    """
    times = [_time_of(image) for image in images]
    keys = [image.path.as_posix() for image in images]
    known = [time for time in times if time is not None]
    if len(known) == len(images):
        keys = [f"{burst:06d}" for burst in _bursts(known)] if _bursts(known) else [time.isoformat() for time in known]
    first: dict[str, str] = {}
    for image, key in zip(images, keys, strict=True):
        first[image.group] = min(key, first.get(image.group, key))
    request = {key: number for number, key in enumerate(sorted(set(first.values())))}
    return tuple(request[first[image.group]] for image in images)


def _time_of(image: GoodImage) -> datetime | None:
    found = _STAMP.search(image.path.name)
    try:
        return datetime(*map(int, found.groups())) if found else None  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def _bursts(times: Sequence[datetime]) -> tuple[int, ...]:
    """Return the number of the burst that each time is of; empty where there are hardly any gaps, or many."""
    seconds = np.array([(time - min(times)).total_seconds() for time in times])
    ranked = np.unique(seconds)
    gaps = np.diff(ranked)
    if not len(gaps):
        return ()
    ends = ranked[1:][gaps > _GAP * np.median(gaps)]
    if len(ends) + 1 < _LEAST_LOTS:
        return ()
    return tuple(np.searchsorted(ends, seconds, side="right").tolist())
