"""The JSON messages of the published contract, version 1."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from edge_inspector.inspection.model import Blob, Identity, Judgement, Verdict

Utc = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
"""ISO 8601, UTC, milliseconds."""


_LAST_NS = 253_402_300_799_999_999_999
"""The last moment that four digits of a year can say."""


def in_calendar(unix_ns: int) -> int:
    """Return a file's time, or the nearest that the contract can write: a file system may say any year."""
    return min(max(0, unix_ns), _LAST_NS)


def utc(unix_ns: int) -> str:
    """Return a time as the contract writes it."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


class Message(BaseModel):
    """What all messages share: frozen, no unknown field, no number that is not finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )

    schema_version: Literal[1] = 1

    def encode(self) -> bytes:
        """Return the message as it goes over the wire."""
        return self.model_dump_json().encode()


class BlobMessage(BaseModel):
    """One region over the limit, in camera pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    box: tuple[int, int, int, int]
    """x, y, width, height."""
    area: int
    peak: float
    over_threshold: bool

    @classmethod
    def of(cls, blob: Blob) -> Self:
        """Return the message of a blob."""
        return cls(
            box=(blob.x, blob.y, blob.width, blob.height),
            area=blob.area,
            peak=round(blob.peak, 4),
            over_threshold=blob.over_threshold,
        )


class ImageMessage(BaseModel):
    """Where an image of the part is published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["thumb"]
    topic: str
    width: int
    height: int
    camera_width: int
    camera_height: int


class BundleMessage(BaseModel):
    """What judged the part."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", from_attributes=True
    )  # `model_validate(bundle)` reads a bundle

    id: str
    detector: str
    calibration: str


class Trace(BaseModel):
    """What a verdict was made with; digests that say whether it was the same for two parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)

    frame: str = ""
    """sha256 of the image file, or of the pixels that a camera gave; empty where there was no image."""
    recipe: str = ""
    settings: str = ""
    software: str = ""
    """Version and digest of the program."""


class Result(Message):
    """One part, one verdict."""

    id: str
    ledger: str
    seq: int = Field(ge=1)
    station: str
    part: str
    serial: str
    lot: str
    view: str
    trigger_id: str
    verdict: Verdict
    reason: str
    reason_code: int
    accept: bool
    score: float | None
    """Anomaly level / threshold: 1.0 is the limit; null where nothing could be measured."""
    margin: float | None
    """1 - score."""
    blobs: tuple[BlobMessage, ...]
    images: tuple[ImageMessage, ...]
    quality: dict[str, float]
    bundle: BundleMessage | None
    captured_at: Utc
    captured_at_source: Literal["trigger", "exif", "name", "mtime", "grab"]
    decided_at: Utc
    timing_ms: dict[str, float]
    replayed: bool
    simulated: bool
    trace: Trace = Trace()
    challenge: bool = False
    """A part that is known to be bad, to see that it is found: not of production, never accepted."""
    monitored: bool = False
    """Judged in monitor mode: to be looked at, not to be acted on, never accepted."""
    sender: str = ""
    """The camera that sent the image, where workers share those of a pool; empty where the station has its own."""
    shares: dict[str, float] = {}
    """What the image as a whole and each map gave to the score, by name; empty for a detector of one part."""

    @property
    def of_production(self) -> bool:
        """Whether it counts."""
        return not (self.challenge or self.monitored)


def result_of(
    identity: Identity,
    judgement: Judgement,
    *,
    ledger: str,
    seq: int,
    bundle: BundleMessage | None,
    images: tuple[ImageMessage, ...],
    decided_ns: int,
    timing_ms: dict[str, float],
    trace: Trace | None = None,
) -> Result:
    """Return the result message of a judged part."""
    score = None if judgement.score is None else _published(judgement.score)
    return Result(
        id=identity.id,
        ledger=ledger,
        seq=seq,
        station=identity.station,
        part=identity.part,
        serial=identity.serial,
        lot=identity.lot,
        view=identity.view,
        trigger_id=identity.trigger_id,
        verdict=judgement.verdict,
        reason=judgement.detail,
        reason_code=judgement.reason.number,
        accept=judgement.accept,
        score=score,
        margin=None if score is None else round(1 - score, 6),
        blobs=tuple(BlobMessage.of(blob) for blob in judgement.blobs[:MAX_BLOBS]),
        images=images,
        quality=dict((*judgement.quality, *identity.camera)),
        bundle=bundle,
        captured_at=utc(identity.captured_ns),
        captured_at_source=identity.captured_source,
        decided_at=utc(decided_ns),
        timing_ms={name: round(value, 3) for name, value in timing_ms.items()},
        replayed=identity.replayed,
        simulated=False,
        trace=trace or Trace(),
        sender=identity.sender,
        shares={name: round(value, 4) for name, value in judgement.shares},
    )


def _published(score: float) -> float:
    """Return the score with six decimals, on the side of the limit where it is: 0.9999996 is not 1."""
    return min(round(score, 6), 0.999999) if score < 1 else max(round(score, 6), 1.0)


MAX_BLOBS = 64
"""A part with more regions than this is described well enough by its worst ones."""


class Counters(Message):
    """How many parts got which verdict."""

    since: Utc
    total: int
    ok: int
    ng: int
    review: int
    invalid: int
    error: int
    replayed: int
    """Of the total, judged after their time."""
    yield_: float | None = Field(serialization_alias="yield", validation_alias="yield")
    """OK / (OK + NG + REVIEW)."""
    parts_per_minute: float
    by_part: dict[str, dict[str, int]]
    challenges: int = 0
    """Not of the total: challenge parts."""
    monitored: int = 0
    """Not of the total: parts judged in monitor mode."""

    def encode(self) -> bytes:
        """Return the message as it goes over the wire."""
        return self.model_dump_json(by_alias=True).encode()


class ShiftCounters(Counters):
    """The counters of a shift that is over."""

    shift: str
    until: Utc


class Undelivered(BaseModel):
    """Results that the broker has not acknowledged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    oldest_s: float
    refused: int = 0
    """Not among them: messages that the broker does not allow, ever; they are not sent again."""
    passed_over: int = 0
    """Not among them: results not sent because too many waited, since the ledger began; `cmd/resend` fetches them."""


class SourceHealth(BaseModel):
    """Whether images can come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    open: bool
    detail: str


class ChartHealth(BaseModel):
    """The last subgroup of parts on one control chart."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    chart: Literal["score", "brightness", "focus", "offset", "review"]
    value: float
    """Mean normal score of the ranks among the trained parts, 0 is typical; for `review` the share of REVIEW parts."""
    limit: float
    """That the value, or its amount, must not exceed."""
    drifted: bool


class ArchiveHealth(BaseModel):
    """How the archive of images is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_mb: int
    dropped: int
    """Images not kept since the start: the disk was full, or too slow."""


class MonitorHealth(BaseModel):
    """Monitor mode, while it lasts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    since: Utc
    until: Utc


class ChallengeHealth(BaseModel):
    """How the challenges of the active part stand."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)

    announced: bool = False
    """The next part is one."""
    passed_at: Utc | None = None
    """When one came out NG last; null: never."""
    failed: str = ""
    """Why the last one was not NG; empty when it was."""
    overdue: bool = False


class Health(Message):
    """How the station is."""

    state: Literal["STARTING", "READY", "RUNNING", "PAUSED", "DEGRADED", "ERROR", "STOPPING"]
    since: Utc
    stages: dict[str, float]
    """Seconds since each stage's loop last turned."""
    broker: Literal["connected", "disconnected"]
    undelivered: Undelivered
    disk_free_mb: int
    engine: str
    source: SourceHealth
    archive: ArchiveHealth = ArchiveHealth(size_mb=0, dropped=0)
    last_error: str
    drift: tuple[ChartHealth, ...] = ()
    """Empty until the first subgroup of parts is complete."""
    monitor: MonitorHealth | None = None
    """Null in production."""
    challenge: ChallengeHealth = ChallengeHealth()


class Info(Message):
    """Who speaks."""

    product: Literal["edge-inspector"] = "edge-inspector"
    version: str
    contract: Literal[1] = 1
    host: str
    station: str
    source: str
    parts: tuple[str, ...]


class AvailablePart(BaseModel):
    """A part that the station can inspect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str
    bundle: str
    threshold: float


class RecipeMessage(Message):
    """Which part is inspected, and which could be."""

    active: str
    available: tuple[AvailablePart, ...]


class CollectedImage(BaseModel):
    """The newest image that was taken to train from, and how it came out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str
    """Of its part's result."""
    file: str
    """Below the collection's folder."""
    verdict: Verdict
    sharpness: float
    """As a share of the sharpest image of its view so far, 0 to 1."""
    brightness: float
    """Mean grey value, 0 to 255."""
    black: float
    """Share of the pixels that hold nothing more, 0 to 1."""
    white: float
    """As black."""
    flaws: tuple[Literal["blurred", "too_dark", "too_bright"], ...]
    """What to mend at the camera."""


class Collection(Message):
    """Images of good parts that are taken to train from, while the station works."""

    state: Literal["none", "taking", "complete", "ended", "failed"]
    """`none`: nothing was collected since the start."""
    detail: str = ""
    """Why the newest part was not taken, or why it ended."""
    part: str = ""
    is_new: bool = False
    """Whether the station does not know the part: what comes as the active one is taken."""
    by: str = ""
    since: Utc | None = None
    folder: str = ""
    """On the station's PC, of this collection alone; `train` takes it."""
    views: tuple[str, ...] = ()
    """Sub-folders of it, where a part has several images; each is a part of its own for `train`."""
    wanted: int = 0
    taken: int = 0
    not_ok: int = 0
    """Of those taken, images of parts whose verdict was not OK."""
    passed_over: int = 0
    """Judged parts that were not taken."""
    last: CollectedImage | None = None


class Event(Message):
    """Something that an operator must know began or ended."""

    code: str
    severity: Literal["info", "warning", "error"]
    active: bool
    message: str
    since: Utc


class Alarms(Message):
    """What is wrong now."""

    active: tuple[str, ...]


class Command(BaseModel):
    """What comes in below `cmd/`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    correlation_id: str = Field(min_length=1, max_length=128)
    by: str = Field(min_length=1, max_length=128)
    args: dict[str, str | int | float | bool] = Field(default_factory=dict)
    expires: datetime | None = None


class Ack(Message):
    """The answer to a command."""

    command: str
    correlation_id: str
    status: Literal["accepted", "done", "rejected", "duplicate", "expired"]
    reason: str
