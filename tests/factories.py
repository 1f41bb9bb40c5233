"""Build what tests need; a test names only what matters to it. The parts are drawn, no camera ever saw them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.bundle import Bundle, write_bundle
from edge_inspector.inspection.model import Blob, Frame, Identity, Judgement, Reason
from edge_inspector.inspection.placement import Placement
from edge_inspector.inspection.recipe import Decision, Recipe
from edge_inspector.wire.messages import Result, result_of

GRAIN, ROUGH_GRAIN = 10.0, 16.0
BRACKET_GRAIN, ROUGH_BRACKET_GRAIN = 3.0, 9.0
"""How rough the plate is; among the parts that train a bundle are the roughest that are good, the limit samples."""


def a_part(
    seed: int, *, scratched: bool = False, width: int = 160, height: int = 120, grain: float = GRAIN
) -> NDArray[np.uint8]:
    """Draw a washer on a brushed plate, blue-green-red; every seed is another good part, a scratched one is bad."""
    rng = np.random.default_rng(seed)
    plate = 120 + grain * rng.standard_normal((height, 1)) + 2 * rng.standard_normal((height, width))
    image = np.repeat(plate[..., None], 3, 2).clip(0, 255).astype(np.uint8)
    centre = (width // 2 + int(rng.integers(-1, 2)), height // 2 + int(rng.integers(-1, 2)))
    cv2.circle(image, centre, height // 3, (200, 205, 210), -1, cv2.LINE_AA)
    cv2.circle(image, centre, height // 8, (60, 60, 65), -1, cv2.LINE_AA)
    if scratched:
        start = centre[0] - height // 4, centre[1] + int(rng.integers(height // 6, height // 4))
        cv2.line(image, start, (start[0] + height // 2, start[1] - 6), (20, 20, 25), 5, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (3, 3), 0)  # type: ignore[no-any-return]


def jpeg(image: NDArray[Any], quality: int = 95) -> bytes:
    """Encode as JPEG."""
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def png(image: NDArray[Any]) -> bytes:
    """Encode as PNG."""
    return bytes(cv2.imencode(".png", image)[1])


def write_brackets(
    folder: Path,
    count: int,
    *,
    scratched: bool = False,
    first: int = 0,
    turn: float = 12,
    shift: float = 12,
    grain: float = BRACKET_GRAIN,
) -> Path:
    """Write `count` drawn brackets that lie as they like, within limits, into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed + 1_000_000)
        moved = float(rng.uniform(-shift, shift)), float(rng.uniform(-shift, shift))
        image = a_bracket(seed, turn=float(rng.uniform(-turn, turn)), shift=moved, scratched=scratched, grain=grain)
        (folder / f"bracket-{seed:04d}.png").write_bytes(png(image))
    return folder


def write_parts(folder: Path, count: int, *, scratched: bool = False, first: int = 0, grain: float = GRAIN) -> Path:
    """Write `count` drawn parts into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        (folder / f"part-{seed:04d}.png").write_bytes(png(a_part(seed, scratched=scratched, grain=grain)))
    return folder


def a_scratch_mask(seed: int, *, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """Return where `a_part(seed, scratched=True)` is scratched, as a person would draw it."""
    difference = cv2.absdiff(
        a_part(seed, scratched=True, width=width, height=height), a_part(seed, width=width, height=height)
    )
    return np.uint8(255) * (difference.max(2) > 40)  # type: ignore[no-any-return]


def write_masks(folder: Path, count: int, *, first: int, width: int = 160, height: int = 120) -> Path:
    """Write the masks of `count` scratched parts into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        mask = cv2.resize(a_scratch_mask(seed), (width, height), interpolation=cv2.INTER_NEAREST)
        (folder / f"part-{seed:04d}_mask.png").write_bytes(png(mask))
    return folder


def an_identity(**changes: Any) -> Identity:
    """Return the identity of part p1 at station st1."""
    values: dict[str, Any] = {
        "id": "a1",
        "station": "st1",
        "part": "washer",
        "captured_ns": 1_700_000_000_000_000_000,
        "captured_source": "mtime",
        "serial": "p1",
    }
    return Identity(**{**values, **changes})


def a_frame(image: bytes | NDArray[Any] | None = None, **changes: Any) -> Frame:
    """Return a frame with a drawn part."""
    return Frame(an_identity(**changes), jpeg(a_part(0)) if image is None else image)


def a_decision(**changes: Any) -> Decision:
    """Return a decision with threshold 1 and a minimum area of 9 camera pixels."""
    return Decision(**{"threshold": 1.0, "min_area": 9, **changes})


def a_recipe(**changes: Any) -> Recipe:
    """Return a recipe for 160 x 120 pictures at 64 x 64 grey."""
    values: dict[str, Any] = {
        "part": "washer",
        "width": 64,
        "height": 64,
        "channels": 1,
        "camera_width": 160,
        "camera_height": 120,
        "decision": a_decision(),
    }
    return Recipe(**{**values, **changes})


def a_placement(width: int, height: int) -> Placement:
    """Return the placement of a map that has the camera picture's own size."""
    return Placement(0, 0, width, height, width, height)


def a_blob(**changes: Any) -> Blob:
    """Return a blob of 12 pixels."""
    return Blob(**{"x": 1, "y": 2, "width": 4, "height": 3, "area": 12, "peak": 1.5, "over_threshold": True, **changes})


def a_judgement(reason: Reason = Reason.WITHIN_LIMIT, **changes: Any) -> Judgement:
    """Return a judgement; OK unless told."""
    return Judgement(**{"reason": reason, "detail": reason.meaning, "score": 0.5, **changes})


def a_twin(bundle: Bundle, path: Path, seed: int, **changes: Any) -> Bundle:
    """Write a bundle that judges alike and has another id; `changes` are to its manifest."""
    provenance = bundle.manifest.provenance.model_copy(update={"seed": seed})
    contents = {name: (bundle.path / name).read_bytes() for name in bundle.manifest.files}
    return write_bundle(path, bundle.manifest.model_copy(update={"provenance": provenance, **changes}), contents)


def a_result_builder(**changes: Any) -> Callable[[str, int, int], Result]:
    """Return what a ledger asks for: a function that makes a result from ledger id, number and time."""
    reason = changes.pop("reason", Reason.WITHIN_LIMIT)

    def build(ledger: str, seq: int, now_ns: int) -> Result:
        return result_of(
            an_identity(**changes),
            a_judgement(reason),
            ledger=ledger,
            seq=seq,
            bundle=None,
            images=(),
            decided_ns=now_ns,
            timing_ms={"total": 1.0},
        )

    return build


def a_bracket(
    seed: int,
    *,
    turn: float = 0,
    shift: tuple[float, float] = (0, 0),
    scratched: bool = False,
    grain: float = BRACKET_GRAIN,
) -> NDArray[np.uint8]:
    """Draw an angle bracket with two holes on a plain plate, 200 x 160, blue-green-red, turned clockwise and shifted.

    Unmoved it lies in x 62 to 138, y 52 to 108; the scratch lies there at x 86 to 94, y 92 to 104.
    """
    rng = np.random.default_rng(seed)
    matrix = cv2.getRotationMatrix2D((99.5, 79.5), -turn, 1)
    matrix[:, 2] += shift

    def placed(*points: tuple[float, float]) -> NDArray[np.int32]:
        return np.rint((np.array(points) @ matrix[:, :2].T + matrix[:, 2]) * 256).astype(np.int32)

    image = np.full((160, 200, 3), 70, np.uint8)
    body = placed((62, 52), (92, 52), (92, 84), (138, 84), (138, 108), (62, 108))
    cv2.fillPoly(image, [body], (190, 195, 200), cv2.LINE_AA, 8)
    for centre, radius in (((77, 66), 8), ((122, 96), 6)):
        cv2.circle(image, placed(centre)[0], radius * 256, (40, 40, 45), -1, cv2.LINE_AA, 8)
    if scratched:
        cv2.fillPoly(image, [placed((86, 92), (94, 92), (94, 104), (86, 104))], (20, 20, 25), cv2.LINE_AA, 8)
    noisy = cv2.GaussianBlur(image, (3, 3), 0) + rng.normal(0, grain, image.shape)
    return noisy.clip(0, 255).astype(np.uint8)  # type: ignore[no-any-return]
