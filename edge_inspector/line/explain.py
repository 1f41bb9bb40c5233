"""Why a part got its verdict: its record, and the judgement made again from the archived picture and the bundle."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.bundle import Bundle, open_inspector, read_bundle
from edge_inspector.errors import DataError
from edge_inspector.inspection import picture as pictures
from edge_inspector.inspection.inspector import Inspection
from edge_inspector.inspection.model import Image
from edge_inspector.line.archive import Shelf
from edge_inspector.line.history import Found, find_one
from edge_inspector.line.station import archive_folder, state_folder
from edge_inspector.line.trace import frame_digest
from edge_inspector.settings import Settings, StationSettings
from edge_inspector.wire.messages import Result

_SAME_SCORE = 0.01
"""In units of the threshold: what a golden picture's score may differ by."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A record, what was drawn of it, and what is missing or differs."""

    found: Found
    pictures: tuple[Path, ...]
    """In the archive."""
    drawn: Path | None
    """The overlay; None where it could not be drawn."""
    again: str
    """What came out this time."""
    problems: tuple[str, ...]


def explain(
    settings: Settings, station: StationSettings, arrival_id: str, out: Path, clock_ns: Callable[[], int]
) -> Explanation:
    """Judge a part's archived picture once more by its bundle and draw what was seen.

    Args:
        settings: the daemon's.
        station: where the part was judged.
        arrival_id: the result's id.
        out: a file for the overlay (PNG).
        clock_ns: measures only.

    Raises:
        DataError: there is no such result.
        DiskError: the ledger cannot be read.
        OSError: `out` cannot be written.
    """
    found = find_one(state_folder(settings, station) / "ledger.db", arrival_id)
    files = find_pictures(settings, station, found.result)
    bundle = _bundle_of(station, found.result)
    original = next((file for file in files if not file.name.endswith("-overlay.jpg")), None)
    missing = tuple(filter(None, (_missing_picture(original), "" if bundle else _missing_bundle(found.result))))
    if original is None or bundle is None:
        return Explanation(found, files, None, "", missing)
    image, same = _as_it_was(original, found.result.trace.frame)
    inspection = open_inspector(bundle, threads=1, clock_ns=clock_ns).inspect(image)
    changed = () if same else (f"{original} is not the picture that was judged: its digest differs",)
    drawn = _draw(bundle, inspection, out)
    words = f"{inspection.judgement.verdict}, score {_shown(inspection.judgement.score)}: {inspection.judgement.detail}"
    return Explanation(found, files, drawn, words, (*changed, *_differences(found.result, inspection)))


def find_pictures(settings: Settings, station: StationSettings, result: Result) -> tuple[Path, ...]:
    """Return a part's pictures in the archive, the original first."""
    captured_ns = int(datetime.fromisoformat(result.captured_at).timestamp() * 1000 + 0.5) * 1_000_000
    return Shelf(archive_folder(settings, station)).find(result.verdict, captured_ns, result.id)


def _bundle_of(station: StationSettings, result: Result) -> Bundle | None:
    if result.bundle is None:
        return None
    wanted = result.bundle.id
    for path in _places(station, wanted):
        try:
            bundle = read_bundle(path)
        except DataError:
            continue
        if bundle.id == wanted:
            return bundle
    return None


def _places(station: StationSettings, bundle_id: str) -> Iterator[Path]:
    """Yield where a bundle may be: what settings name, then the versions that were approved before."""
    yield from (part.bundle for part in station.part)
    for folder in {part.bundle.parent for part in station.part if part.bundle.parent.is_dir()}:
        yield from (path for path in folder.iterdir() if path.name.endswith(f"-{bundle_id}"))


def _missing_picture(original: Path | None) -> str:
    if original is not None:
        return ""
    return "the picture is not in the archive: it was not kept ([archive] keep), or it had to make room"


def _missing_bundle(result: Result) -> str:
    if result.bundle is None:
        return "no bundle took part in this verdict"
    return f"bundle {result.bundle.id} is not among the station's: name it as a [[station.part]] to judge by it again"


def _as_it_was(file: Path, digest: str) -> tuple[bytes | Image, bool]:
    """Return the picture as the inspector got it, a file's bytes or a camera's pixels, and whether it is the same."""
    raw = file.read_bytes()
    if hashlib.sha256(raw).hexdigest() == digest:
        return raw, True
    pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is not None and pixels.dtype in (np.uint8, np.uint16):
        image: Image = np.asarray(pixels)
        if frame_digest(image) == digest:
            return image, True
    return raw, False


def _draw(bundle: Bundle, inspection: Inspection, out: Path) -> Path | None:
    evidence = inspection.evidence
    if evidence is None:
        return None
    threshold = bundle.recipe.decision.threshold
    shown = pictures.overlay(evidence.image, evidence.amap, threshold, evidence.placement, evidence.window)
    boxed = pictures.draw_boxes(shown, inspection.judgement.blobs, max(shown.shape[:2]))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(cv2.imencode(".png", boxed)[1].tobytes())
    return out


def _differences(result: Result, inspection: Inspection) -> tuple[str, ...]:
    judgement, found = inspection.judgement, []
    if judgement.verdict != result.verdict:
        found.append(f"the verdict was {result.verdict} and is {judgement.verdict} now")
    if result.score is not None and (judgement.score is None or abs(judgement.score - result.score) > _SAME_SCORE):
        found.append(f"the score was {_shown(result.score)} and is {_shown(judgement.score)} now")
    return tuple(found)


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"
