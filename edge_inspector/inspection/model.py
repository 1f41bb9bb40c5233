"""The nouns of an inspection."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum, unique
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""A camera image: (height, width) grey or (height, width, 3) blue-green-red."""
ModelInput: TypeAlias = NDArray[np.uint8]
"""What a network looks at: uint8 (height, width, channels), channels 1 (grey) or 3 (red-green-blue)."""
AnomalyMap: TypeAlias = NDArray[np.float32]
"""How unusual each place is: float32 (height, width), larger is worse."""


CapturedSource: TypeAlias = Literal["trigger", "exif", "name", "mtime", "grab"]


class Verdict(StrEnum):
    """The one answer a part gets; only OK means accept."""

    OK = "OK"
    NG = "NG"
    REVIEW = "REVIEW"
    INVALID = "INVALID"
    ERROR = "ERROR"


@unique
class Reason(Enum):
    """Why a part got its verdict: number, verdict, meaning, remedy. The verdict follows from the reason."""

    WITHIN_LIMIT = 0, Verdict.OK, "no blob of the minimum area over the limit", ""
    DEFECT = 1, Verdict.NG, "a blob of the minimum area over the limit", "reject the part"
    NEAR_LIMIT = 2, Verdict.REVIEW, "a blob over the review limit, none over the limit", "look at the part"
    WHOLE_IMAGE = 3, Verdict.NG, "the image as a whole is unlike those of good parts", "reject the part"
    EMPTY = 101, Verdict.INVALID, "the image file is empty", "check the camera's transfer and its disk"
    NOT_AN_IMAGE = (
        102,
        Verdict.INVALID,
        "the file is not a sound JPEG, PNG, BMP, TIFF or WebP image",
        "check what writes there",
    )
    TRUNCATED = 103, Verdict.INVALID, "the image is truncated", "let the camera write elsewhere, then rename"
    TOO_LARGE = 104, Verdict.INVALID, "the image claims more pixels than allowed", "check the camera's format"
    WRONG_FORMAT = (
        105,
        Verdict.INVALID,
        "size or depth differs from the recipe's",
        "restore the camera's settings or retrain",
    )
    NOT_A_FILE = (
        106,
        Verdict.INVALID,
        "something named like an image is not a regular file",
        "remove it from the folder",
    )
    DARK = 107, Verdict.INVALID, "the image is too dark", "check the light, the exposure and the lens cap"
    SATURATED = 108, Verdict.INVALID, "too much of the image is white", "check the light, the exposure, stray light"
    LOW_CONTRAST = 109, Verdict.INVALID, "the image has hardly any contrast", "check for dirt or mist on the lens"
    BLURRED = 110, Verdict.INVALID, "the image is blurred", "check focus, vibration and exposure time"
    WRONG_PART = (
        111,
        Verdict.INVALID,
        "the image is unlike every good one: another part, or none",
        "check which part is active and whether one is in view",
    )
    MOVED = 112, Verdict.INVALID, "the part is not where it was in training", "check fixture, trigger and camera mount"
    FROZEN = 113, Verdict.INVALID, "the camera repeats the same image", "restart the camera"
    BAD_NAME = (
        114,
        Verdict.INVALID,
        "what names the part is missing or not allowed",
        "correct the file's name, sub-folder or JSON file; `edge-inspector check` shows how they are read",
    )
    MISSING_VIEW = 115, Verdict.INVALID, "a view of the part did not arrive", "check that camera, or raise views_ms"
    NOT_ALIGNED = (
        116,
        Verdict.INVALID,
        "the part cannot be found in the image, or is cut off",
        "check whether the whole part is in view; `edge-inspector recipe preview` shows what is found",
    )
    BAD_STAMP = (
        117,
        Verdict.INVALID,
        "an image that came over MQTT does not say, or says wrongly, what it is",
        "send images with `edge-inspector camera` of this version; see the log for what was missing",
    )
    EXCEPTION = 201, Verdict.ERROR, "the inspection failed", "see the log; send `edge-inspector diagnose`"
    NOT_FINITE = 202, Verdict.ERROR, "the anomaly map is not finite", "retrain the part"
    LATE = 203, Verdict.ERROR, "no answer within the deadline", "raise deadline_ms or use a smaller detector"
    OVERRUN = 204, Verdict.ERROR, "more triggers than the station can judge", "slow the line or add a station"
    RESTARTED = 205, Verdict.ERROR, "the program ended before the part was judged", "inspect the part again"
    NO_RECIPE = 206, Verdict.ERROR, "no bundle for this part", "add a [[station.part]] or correct the name"
    NOT_READY = 207, Verdict.ERROR, "the part's bundle failed its golden check", "recalibrate on this machine"
    CRASHED = 208, Verdict.ERROR, "the program crashed while judging this image", "send the image to support"
    NO_IMAGE = 209, Verdict.ERROR, "the camera gave no image", "check cable, power and address of the camera"
    WITHHELD = (
        212,
        Verdict.ERROR,
        "an OK that nobody may act on: a challenge part, monitor mode, or a challenge is due",
        "see the alarms; end monitor mode or pass a challenge part",
    )
    REFUSED = 211, Verdict.ERROR, "the trigger was refused", "wait for plc/ready; send a number of 1 to 2147483647"
    UNREADABLE = 210, Verdict.ERROR, "the image could not be read from disk", "check the disk or the share"

    def __init__(self, number: int, verdict: Verdict, meaning: str, remedy: str) -> None:
        self.number = number
        self.verdict = verdict
        self.meaning = meaning
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Identity:
    """Which part this is. The id is made at arrival and never from content: two parts may look the same."""

    id: str
    station: str
    part: str
    captured_ns: int
    """Unix time."""
    captured_source: CapturedSource
    """What the time is taken from."""
    serial: str = ""
    lot: str = ""
    view: str = ""
    group: str = ""
    """Of which batch of images it is one; `train --group` keeps a group together."""
    trigger_id: str = ""
    replayed: bool = False
    """Judged after its time (found at start): for the record, never for the PLC."""
    camera: tuple[tuple[str, float], ...] = ()
    """What the camera said it was set to for this image: exposure, gain, white balance, focus."""
    sender: str = ""
    """The camera that sent the image over MQTT; empty where the station has its own."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An image that arrived: still encoded (bytes), or pixels as a camera gave them."""

    identity: Identity
    image: bytes | Image = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An arrival without an image; it is answered all the same."""

    identity: Identity
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Views:
    """All images of one part; it gets one answer, the worst."""

    identity: Identity
    images: tuple[Frame | Unreadable, ...]
    """What is missing is among them, unreadable."""


Arrival: TypeAlias = Frame | Unreadable | Views


@dataclass(frozen=True, slots=True)
class Blob:
    """An 8-connected region over the limit; its box and area are in camera pixels."""

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float
    """Highest anomaly in the region, in units of the threshold."""
    over_threshold: bool
    """False for a region that is over the review limit only."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a detector that joins several scores says of each."""

    whole: float = 0.0
    """What the image as a whole gives to every place of the anomaly map."""
    maps: tuple[tuple[str, float], ...] = ()
    """By name, the part that each map has in the most unusual place; together 1, or 0 where nothing is unusual."""


NO_PARTS = Parts()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the inspection found. There is no verdict without a reason, and none that contradicts it."""

    reason: Reason
    detail: str
    score: float | None = None
    """Level / threshold: 1.0 is the limit; None where nothing could be measured."""
    blobs: tuple[Blob, ...] = ()
    quality: tuple[tuple[str, float], ...] = ()
    """What was measured of the image, by name."""
    shares: tuple[tuple[str, float], ...] = ()
    """What each part of a joined score gave to it, by name; together the score. Empty for a detector of one part."""

    @property
    def shares_in_words(self) -> str:
        """What each part gave to the score, the most first; empty for a detector of one part."""
        ranked = sorted(self.shares, key=lambda share: -share[1])
        return ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in ranked)

    @property
    def verdict(self) -> Verdict:
        """OK, NG, REVIEW, INVALID or ERROR."""
        return self.reason.verdict

    @property
    def accept(self) -> bool:
        """Whether the part may go on; true for OK only."""
        return self.verdict is Verdict.OK
