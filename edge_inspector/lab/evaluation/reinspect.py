"""Judge an archive again with another bundle: many images, several processes, and it goes on where it was ended."""

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from edge_inspector.bundle import Bundle, open_inspector, read_bundle
from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.inspection.model import Verdict
from edge_inspector.lab.data.dataset import find_images

OVERLAY = "-overlay.jpg"
"""How the archive's drawn images end: they are no part's."""
UNKNOWN = "-"
_CHUNK = 8


@dataclass(frozen=True, slots=True)
class ReinspectedImage:
    """An image, what it was judged then and what it is judged now."""

    image: str
    """Below the folder."""
    before: str
    """Verdict by the archive's folders; `-` where they do not say."""
    after: str
    score: float | None
    reason: str

    def as_json(self) -> dict[str, object]:
        """Return the published form: a line of the log."""
        return {
            "picture": self.image,
            "before": self.before,
            "after": self.after,
            "score": self.score,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Changes:
    """What would have been otherwise."""

    counts: dict[tuple[str, str], int]
    """Images by verdict then and now."""
    newly_accepted: tuple[ReinspectedImage, ...]
    """Not OK then, OK now: look at these first."""
    newly_refused: tuple[ReinspectedImage, ...]


def reinspect(
    folder: Path, bundle: Bundle, log: Path, workers: int, report: Callable[[str, float], None]
) -> tuple[ReinspectedImage, ...]:
    """Judge every image below `folder` that `log` does not have yet, and return all.

    Args:
        folder: an archive (its folders name the verdicts) or any folder of images.
        bundle: what judges now.
        log: a JSON object a line, begun where it is missing; each image is written when it is done.
        workers: processes, each on one processor.
        report: shows progress.

    Raises:
        DataError: no images, or the log is of another bundle or folder.
    """
    paths = _images(folder)
    done = _read(log, bundle, folder)
    waiting = [path for path in paths if path not in done]
    count = len(paths) - len(waiting)
    with log.open("a", encoding="utf-8") as lines:
        if not done:
            lines.write(json.dumps(_head(bundle, folder)) + "\n")
        for one in _judged(folder, bundle, waiting, workers):
            done[one.image] = one
            lines.write(json.dumps(one.as_json()) + "\n")
            lines.flush()
            count += 1
            report(f"{count} of {len(paths)} images", count / len(paths))
    return tuple(done[path] for path in paths)


def changes_of(judged: Sequence[ReinspectedImage]) -> Changes:
    """Return what changed where the verdict of then is known."""
    known = [one for one in judged if one.before != UNKNOWN]
    accepted = Verdict.OK.value
    return Changes(
        dict(Counter((one.before, one.after) for one in known)),
        tuple(one for one in known if one.before != accepted and one.after == accepted),
        tuple(one for one in known if one.before == accepted and one.after != accepted),
    )


def _images(folder: Path) -> tuple[str, ...]:
    found = (path for path in find_images(folder) if not path.name.endswith(OVERLAY))
    paths = tuple(path.relative_to(folder).as_posix() for path in found)
    if not paths:
        raise DataError(f"no image in {folder} but drawn ones (*{OVERLAY}): expected those of an archive, too")
    return paths


def _verdict_of(path: str) -> str:
    """Return the verdict that the archive's folders name."""
    named = [step for step in Path(path).parts[:-1] if step in {verdict.value for verdict in Verdict}]
    return named[-1] if named else UNKNOWN


def _head(bundle: Bundle, folder: Path) -> dict[str, str]:
    return {"bundle": bundle.id, "folder": str(folder.resolve())}


def _read(log: Path, bundle: Bundle, folder: Path) -> dict[str, ReinspectedImage]:
    """Return what is done already; a last line that a kill cut off is taken away."""
    if not log.exists() or not log.stat().st_size:
        return {}
    whole = log.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        log.write_bytes(kept)
    try:
        head, *rest = [json.loads(line) for line in kept.splitlines()] or [{}]
        done = {one.image: one for one in (_read_line(line) for line in rest)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{log}: expected what `reinspect` wrote, {error}: name another file with --log") from error
    if kept and head != _head(bundle, folder):
        raise DataError(f"{log} is of bundle {head.get('bundle')} and {head.get('folder')}: name another with --log")
    return done


def _read_line(line: dict[str, Any]) -> ReinspectedImage:
    return ReinspectedImage(image=line.pop("picture"), **line)


def _judged(folder: Path, bundle: Bundle, paths: Sequence[str], workers: int) -> Iterator[ReinspectedImage]:
    judge = functools.partial(_judge, folder, bundle.path)
    if workers == 1:
        yield from map(judge, paths)
        return
    # Spawned, not forked: the engine has threads.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(judge, paths, chunksize=_CHUNK)


def _judge(folder: Path, bundle: Path, path: str) -> ReinspectedImage:
    judgement = _inspector(bundle).inspect((folder / path).read_bytes()).judgement
    return ReinspectedImage(path, _verdict_of(path), judgement.verdict.value, judgement.score, judgement.detail)


@functools.cache
def _inspector(bundle: Path) -> Inspector:
    """Return this process's own inspector, which has passed the golden check."""
    return open_inspector(read_bundle(bundle), threads=1, clock_ns=lambda: 0)
