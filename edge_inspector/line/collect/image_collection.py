"""A folder of images to train from: each is looked at, written, and never over another one."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.atomic import write_unsynced
from edge_inspector.errors import DataError
from edge_inspector.image_names import ending_for
from edge_inspector.inspection.model import Identity, Image
from edge_inspector.inspection.preprocess import as_image
from edge_inspector.line.sources.naming import printable

_DARK, _BRIGHT = 5, 250
_MUCH = 0.02
"""Share of an image's pixels that may be black or white; more is lost for good."""
_BLUNT = 0.6
"""Of the sharpest image so far."""


class Flaw(StrEnum):
    """What makes an image a poor one to train from."""

    BLURRED = "blurred"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"


@dataclass(frozen=True, slots=True)
class Look:
    """How an image came out."""

    sharpness: float
    """Variance of the Laplacian, 8-bit grey values squared; comparable between images of one station only."""
    mean: float
    """Grey value, 0 to 255."""
    black: float
    """Share of the pixels that hold nothing more."""
    white: float
    """As black."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An image was written."""

    number: int
    path: Path
    look: Look
    sharpest: float
    """Sharpness of the sharpest image of this view so far."""

    @property
    def sharpness(self) -> float:
        """As a share of the sharpest image so far, 0 to 1."""
        return self.look.sharpness / self.sharpest if self.sharpest else 1.0

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """What to mend at the camera."""
        look = self.look
        found = {
            Flaw.BLURRED: self.sharpness < _BLUNT,
            Flaw.TOO_DARK: look.black > _MUCH,
            Flaw.TOO_BRIGHT: look.white > _MUCH,
        }
        return tuple(flaw for flaw, is_so in found.items() if is_so)

    def in_words(self) -> str:
        """Return what to look at, for whoever stands at the camera."""
        look = self.look
        said = {
            Flaw.BLURRED: "BLURRED: check focus and motion",
            Flaw.TOO_DARK: f"TOO DARK: {look.black:.0%} is black",
            Flaw.TOO_BRIGHT: f"TOO BRIGHT: {look.white:.0%} is white",
        }
        words = [f"sharpness {self.sharpness:.0%} of the best", f"brightness {look.mean:.0f} of 255"]
        return ", ".join([*words, *(said[flaw] for flaw in self.flaws)])


class ImageCollection:
    """The images of one collection: `folder/view/group/serial.png`, without what an image has not.

    Args:
        folder: where they are written; `train` takes it.
        group: of all of them; otherwise each image's own. `train` keeps a group in one of its sets.
        serial: of all of them, with a number; otherwise each image's own.
    """

    def __init__(self, folder: Path, *, group: str = "", serial: str = "") -> None:
        self._folder = folder
        self._group = group
        self._serial = serial
        self._sharpest: dict[str, float] = {}
        """By view: one may be plain and another full of edges."""
        self._numbers: dict[Path, int] = {}
        """The last one given, by name without it."""
        self.count = 0
        """Images written so far."""

    def add(self, identity: Identity, image: bytes | Image) -> Taken:
        """Write one image, what a camera gave as PNG, and say how it came out.

        Raises:
            UnreadableImageError: it is not an image.
            DataError: its names cannot name a file.
            OSError: the disk is full, read-only or gone.
        """
        look = look_at(image)
        group, serial = self._group or identity.group, self._serial or identity.serial
        path = self._write(replace(identity, group=group, serial=serial), image)
        self.count += 1
        sharpest = max(self._sharpest.get(identity.view, 0.0), look.sharpness)
        self._sharpest[identity.view] = sharpest
        return Taken(self.count, path, look, sharpest)

    def _write(self, identity: Identity, image: bytes | Image) -> Path:
        if isinstance(image, bytes):
            content, ending = image, ending_for(image) or ".tif"
        else:
            content, ending = bytes(cv2.imencode(".png", image)[1]), ".png"
        place = self._folder.joinpath(*(file_name(step) for step in (identity.view, identity.group) if step))
        place.mkdir(parents=True, exist_ok=True)
        stem = file_name(identity.serial) if identity.serial else "part"
        path = place / f"{stem}{ending}"
        if self._serial or not identity.serial or path.exists():
            path = self._numbered(place / stem, ending)
        write_unsynced(path, content)
        return path

    def _numbered(self, stem: Path, ending: str) -> Path:
        """Return a name that nobody has."""
        number = self._numbers.get(stem, 0) + 1
        while (path := stem.with_name(f"{stem.name}-{number:04}{ending}")).exists():
            number += 1
        self._numbers[stem] = number
        return path


def look_at(image: bytes | Image) -> Look:
    """Return how an image came out.

    Raises:
        UnreadableImageError: it is none.
    """
    grey = as_image(image, 1)
    grey = grey if grey.dtype == np.uint8 else (grey >> (_bits_in_use(grey) - 8)).astype(np.uint8)
    return Look(
        sharpness=float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1].item()) ** 2,
        mean=cv2.mean(grey)[0],
        black=np.count_nonzero(grey <= _DARK) / grey.size,
        white=np.count_nonzero(grey >= _BRIGHT) / grey.size,
    )


def _bits_in_use(grey: Image) -> int:
    """Return of how many bits the camera's values are: 10, 12 and 14 come in 16, and are not dark for that."""
    bits = int(grey.max()).bit_length()
    return max(8, bits + bits % 2)


def file_name(name: str) -> str:
    """Return a name that stays in its folder and that the file system takes.

    Raises:
        DataError: it cannot.
    """
    name = printable(name).replace("/", "_")
    if name.startswith(".") or len(name.encode()) > 200:
        raise DataError(f"{name[:64]!r} cannot name a file: expected at most 200 bytes and no dot first")
    return name
