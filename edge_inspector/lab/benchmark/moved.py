"""What is lost when parts do not lie still, and what alignment brings back: a set of images, moved on purpose."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import cv2
import numpy as np

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DiskError, UsageError
from edge_inspector.inspection.model import Image
from edge_inspector.inspection.placement import Pose, between_pixels, rotation
from edge_inspector.inspection.recipe import Region
from edge_inspector.lab.data.dataset import find_images, find_tests, read_image
from edge_inspector.lab.evaluation.compare import auroc_gain
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.evaluation.evaluation import Evaluation
from edge_inspector.lab.evaluation.rules import CALIBRATED
from edge_inspector.lab.evaluation.separation import Interval
from edge_inspector.lab.training.recipe_draft import AlignmentRequest
from edge_inspector.native import native_path

_SPARE_SHIFT, _SPARE_TURN = 0.1, 10.0
"""Parts of a set do not lie still to begin with: so much more room they get, and so much more may be found."""


@dataclass(frozen=True, slots=True)
class MovedRequest:
    """What is to be measured."""

    data: Path
    """Folder with train/good, test/good and test/<defect>."""
    shift: float
    """At most, in shares of the image's sides."""
    turn: float
    """At most, degrees."""
    seed: int
    train_detector: Callable[[Path, Region, AlignmentRequest, Path], Bundle] = field(repr=False)
    """Trains a folder of good images and writes the bundle: what is inspected of them, and how they are aligned."""
    clock_ns: Callable[[], int] = field(repr=False)
    report: Callable[[str, float], None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class MovedRow:
    """One way of looking at the test images, beside the parts where they were and not aligned."""

    data: str
    moved: bool
    aligned: bool
    found: Evaluation
    gain: Interval
    milliseconds: float
    """Of finding a part, median; 0 where nothing is aligned."""


def measure_moved(request: MovedRequest) -> tuple[MovedRow, ...]:
    """Train a set twice, without and with alignment, and judge its test images where they were, and moved.

    Every image is laid on a larger one whose rim repeats its edge, so that a part that is moved stays in view; the
    region is where the image lay. The test parts are moved at random, evenly up to the limits, by the seed.

    Raises:
        DataError: another layout, or images that cannot be read.
        UsageError: a rotation or shift that is none.
    """
    if not (0 < request.shift < 1 and 0 < request.turn <= 90):
        raise UsageError(
            f"expected a shift of 0 to 1 and a rotation of 0 to 90, got {request.shift:g} and {request.turn:g}"
        )
    with TemporaryDirectory(prefix="edge-inspector-moved-") as temporary:
        root = Path(temporary)
        region = _write(request, root)
        still = {aligned: _judge(request, root, region, aligned=aligned) for aligned in (False, True)}
    before = still[False][0][0]
    rows = []
    for moved in (False, True):
        for aligned in (False, True):
            found, milliseconds = still[aligned][moved]
            gain = auroc_gain(before, found, np.random.default_rng(request.seed))
            rows.append(MovedRow(request.data.name, moved, aligned, found, gain, milliseconds))
    return tuple(rows)


def _write(request: MovedRequest, root: Path) -> Region:
    """Write the images with their new rim: to train, to test, and to test moved; return where they lay."""
    rng = np.random.default_rng(request.seed)
    good = [(path, "train") for path in find_images(request.data / "train" / "good")]
    tests = [(one.path, f"test/{one.defect}") for one in find_tests(request.data)]
    height, width = read_image(good[0][0], 3).shape[:2]
    room = _room(width, height, request.shift + _SPARE_SHIFT, request.turn + _SPARE_TURN)
    for place, (path, folder) in enumerate(good + tests):
        image = read_image(path, 3)
        _save(root / "still" / folder / f"{path.stem}.png", lay(image, room, 0.0, (0.0, 0.0)))
        if folder != "train":
            shift = rng.uniform(-request.shift, request.shift, 2) * [width, height]
            turned = lay(image, room, rng.uniform(-request.turn, request.turn), (float(shift[0]), float(shift[1])))
            _save(root / "moved" / folder / f"{path.stem}.png", turned)
        request.report(f"move {request.data.name}", (place + 1) / len(good + tests))
    return Region(x=room[0], y=room[1], width=width, height=height)


def _room(width: int, height: int, shift: float, turn: float) -> tuple[int, int]:
    """Return how wide a rim must be, left and right, above and below, for the moved image to stay inside."""
    size = np.array([width, height])
    needed = (np.abs(rotation(turn)) @ size - size) / 2 + shift * size
    return int(np.ceil(needed[0])), int(np.ceil(needed[1]))


def lay(image: Image, room: tuple[int, int], turn: float, shift: tuple[float, float]) -> Image:
    """Return an image with a rim that repeats its edge, rotated about its middle (degrees clockwise) and shifted."""
    height, width = image.shape[0] + 2 * room[1], image.shape[1] + 2 * room[0]
    pose = Pose(turn, *shift, width / 2, height / 2, 1.0).matrix()
    matrix = between_pixels(np.c_[pose[:, :2], pose[:, 2] + pose[:, :2] @ room])
    method, size = cv2.INTER_CUBIC if turn else cv2.INTER_LINEAR, (width, height)
    return cast("Image", cv2.warpAffine(image, matrix, size, flags=method, borderMode=cv2.BORDER_REPLICATE))


def _save(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(native_path(path), image):
        raise DiskError(f"{path} cannot be written")


def _judge(
    request: MovedRequest, root: Path, region: Region, *, aligned: bool
) -> tuple[tuple[Evaluation, float], tuple[Evaluation, float]]:
    """Train the set once, and judge the test images where they were and moved."""
    alignment = AlignmentRequest("rotate", min(180.0, request.turn + _SPARE_TURN)) if aligned else AlignmentRequest()
    bundle = request.train_detector(
        root / "still" / "train", region, alignment, root / ("aligned" if aligned else "not-aligned")
    )
    inspector = open_inspector(bundle, threads=usable_processors(), clock_ns=request.clock_ns)
    found = []
    for name in ("still", "moved"):
        evaluation = evaluate(bundle, inspector, root / name, CALIBRATED, request.report)
        paths = [one.image.path for one in evaluation.judged]
        laps = (dict(inspector.inspect(path.read_bytes()).timing_ms) for path in paths)
        found.append((evaluation, float(np.median([lap.get("align", 0.0) for lap in laps])) if aligned else 0.0))
    return found[0], found[1]


def as_markdown(rows: tuple[MovedRow, ...]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| set | test parts | aligned | image AUROC | change (95 %) | INVALID good, defective | ms |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        gain, refused = row.gain, row.found.refused
        change = "-" if not (row.moved or row.aligned) else f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        cells = (
            row.data,
            "moved" if row.moved else "still",
            "yes" if row.aligned else "no",
            f"{row.found.image_auroc:.3f}",
            change,
            f"{refused['good']} of {len(row.found.good)}, {refused['defective']} of {len(row.found.defective)}",
            f"{row.milliseconds:.1f}" if row.aligned else "-",
        )
        yield f"| {' | '.join(cells)} |"
