"""The daemon's settings: one TOML file, environment and systemd credentials for secrets; unknown keys are errors."""

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as EnvironmentFault

from edge_inspector.errors import SettingsError
from edge_inspector.inspection.recipe import QualityCheck
from edge_inspector.text import composed, did_you_mean
from edge_inspector.toml import read_toml
from edge_inspector.validation import Problem, fields_of, problems, table_in
from edge_inspector.wire.topics import DEFAULT_ROOT, check_name, check_root

NAMED = ("part", "serial", "lot", "view", "group")
"""What a folder, a file name or a sidecar may say of an image."""
HIDDEN = "(hidden)"
_LOGIN = re.compile(r"""(?<=://)[^\s"']*@""")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\])(?::\d+)?")
_LEAST_SECRET = 4
"""Shorter values of a query are channels and sizes; to hide them would tear texts apart."""
_TELLING = re.compile(r"[=;&]")
"""What stands in a step of a path that is not a name but a query: some cameras take the login there."""


def _name(value: str) -> str:
    try:
        return check_name(value, "name")
    except SettingsError as error:
        raise ValueError(str(error)) from error


def _root(value: str) -> str:
    try:
        return check_root(value)
    except SettingsError as error:
        raise ValueError(str(error)) from error


def _pattern(value: str) -> str:
    try:
        groups = set(re.compile(value).groupindex)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    if not groups or not groups <= set(NAMED):
        raise ValueError(f"expected named groups out of {', '.join(NAMED)}, got {sorted(groups) or 'none'}")
    return value


def _left_alone(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        try:
            every = re.compile(fnmatch.translate(pattern), re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"no pattern: {pattern!r}: {error}") from error
        if "/" in pattern or not pattern:
            raise ValueError(f"expected patterns of names such as *.tmp, no folders, got {pattern!r}")
        if all(every.match(name) for name in ("1.jpg", "image.png")):
            raise ValueError(f"{pattern!r} would leave every image alone")
    return value


def _expression(value: str) -> str:
    try:
        found = re.compile(value).fullmatch("")
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    if value and found:
        raise ValueError(f"{value!r} matches a part without a serial, too")
    return value


def _region(value: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x, y, width, height = value
    if x < 0 or y < 0 or width < 8 or height < 8:
        raise ValueError(f"expected x, y from 0 and width, height from 8, got {list(value)}")
    return value


def without_logins(text: str) -> str:
    """Return a text with the logins inside addresses hidden; an @ in a password hides more, never less."""
    return _LOGIN.sub(f"{HIDDEN}@", text)


def shown_address(device: str) -> str:
    """Return a camera's address as anybody may read it: scheme, host, port and path, for a login can stand elsewhere.

    What cannot be told apart is hidden with the rest. A camera's number or a file is shown as it is.
    """
    scheme, found, rest = device.partition("://")
    if not found:
        return device
    before = re.split(r"[?#]", rest, maxsplit=1)[0]
    _, at, place = before.rpartition("@")
    host, *steps = place.split("/")
    if not _HOST.fullmatch(host) or "@" in rest.removeprefix(before):
        return f"{scheme}://{HIDDEN}"
    shown = [HIDDEN if _TELLING.search(step) else step for step in steps]
    return f"{scheme}://{f'{HIDDEN}@' if at else ''}{'/'.join((host, *shown))}"


def secrets_in(device: str) -> tuple[str, ...]:
    """Return the parts of a camera's address that no text may repeat: its login, and the values of its query."""
    _, _, rest = device.partition("://")
    login, _, place = rest.rpartition("@")
    values = re.findall(r"=([^=;&#/]+)", place)
    pieces = (login, login.partition(":")[2], *values)
    return tuple(piece for piece in pieces if len(piece) >= _LEAST_SECRET)


Name = Annotated[str, AfterValidator(_name)]
PartName = Annotated[str, AfterValidator(_name), AfterValidator(composed)]
"""Compared with what folders, cameras, PLCs and operators write, so in one spelling."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class FolderSettings(_Section):
    """A folder into which a camera writes images."""

    kind: Literal["folder"]
    """A folder that a camera writes to."""
    path: Path
    """The watched folder; may be on a share."""
    after: Literal["move", "delete", "keep"] = "move"
    """What happens to a judged image: `move` to `done`, `delete`, or `keep` (read-only shares)."""
    done: Path | None = None
    """Where judged images go; default `.done` inside `path`. To another file system they are copied."""
    done_days: int | None = Field(None, ge=1, le=36_500)
    """Judged images are deleted after this many days; not set: 30 in `.done`, never in your own `done`."""
    done_mb: int | None = Field(None, ge=1, le=100_000_000)
    """Above this size the oldest are deleted; not set: 10000 in `.done`, no limit in your own `done`."""
    settle_ms: int = Field(500, ge=0, le=60_000)
    """Time without a change before a file is read, where no event says that it is complete."""
    closed_ms: int = Field(100, ge=0, le=60_000)
    """The same after its writer closed it; a renamed file never waits."""
    unfinished_ms: int = Field(2000, ge=0, le=600_000)
    """The same for an empty or truncated image: its sender may still be writing."""
    ignore: Annotated[tuple[str, ...], AfterValidator(_left_alone)] = ("*.tmp", "tmp_*", "*.part", "*.filepart", ".*")
    """Names to leave alone, in any case, until they are renamed."""
    scan_ms: int = Field(1000, ge=10, le=60_000)
    """Interval at which the folder is listed, events or not."""
    name_pattern: Annotated[str, AfterValidator(_pattern)] = r"(?P<serial>.*)"
    """Regular expression for the file name without extension; groups part, serial, lot, view, group."""
    subfolders: tuple[Literal["part", "serial", "lot", "view", "group"], ...] = ()
    """What the names of sub-folders mean, outermost first; images must lie exactly that deep."""
    sidecar_ms: int = Field(0, ge=0, le=60_000)
    """How long to wait for NAME.json beside each image (part, serial, lot, view, group); 0: there is none."""

    @property
    def done_limits(self) -> tuple[int | None, int | None]:
        """Return days and megabytes beyond which judged images go; None is no limit."""
        days, most = (None, None) if self.done else (30, 10_000)
        return self.done_days or days, self.done_mb or most

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        named = (*self.subfolders, *re.compile(self.name_pattern).groupindex)
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"subfolders and name_pattern both name {', '.join(twice)}: leave it out of one of them")
        return self


class CaptureSettings(_Section):
    """A camera, a network stream or a video file, read with OpenCV."""

    kind: Literal["capture"]
    """A camera, a stream or a video file."""
    device: str
    """A number (/dev/videoN), a device path, a URL (rtsp://, http://) or a video file."""
    mode: Literal["stream", "snapshot"] = "stream"
    """`snapshot`: each trigger requests one image from the address in `device`."""
    timeout_ms: int = Field(2000, ge=100, le=60_000)
    """Longest time for a snapshot; after that the camera gave no image."""
    accept_unchecked: bool = False
    """No alarm where damaged frames cannot be told from sound ones (H.264, H.265)."""
    interval_ms: int = Field(1000, ge=1, le=86_400_000)
    """Time between images, where nothing else triggers."""
    trigger: Literal["interval", "mqtt", "every_frame", "presence"] = "interval"
    """`interval`, `mqtt` (`cmd/trigger`, `plc/cmd/trigger`), `every_frame`, or `presence` of a part in `region`."""
    delay_ms: int = Field(0, ge=0, le=60_000)
    """From the trigger to the first frame that may be taken."""
    width: int | None = Field(None, ge=16, le=16384)
    """Requested from the camera; its own where not set."""
    height: int | None = Field(None, ge=16, le=16384)
    """As width."""
    frozen: int = Field(3, ge=0, le=1000)
    """This many identical images in a row are INVALID; 0 is never."""
    pixel_format: Annotated[str, Field(pattern=r"^[ -~]{4}$")] | None = None
    """FOURCC requested from the camera, such as `YUYV`; a camera with another one is not used."""
    exposure: float | None = None
    """Fixed value in the driver's unit, automatic off; not touched where not set."""
    gain: float | None = None
    """As exposure."""
    white_balance: float | None = None
    """As exposure; kelvins."""
    focus: float | None = None
    """As exposure."""
    region: Annotated[tuple[int, int, int, int], AfterValidator(_region)] | None = None
    """x, y, width, height in camera pixels where `presence` looks; not set: everywhere."""
    presence_share: float = Field(0.05, gt=0, lt=1)
    """Share of the region that differs from the empty one when a part is there; gone below half of it."""
    presence_change: float = Field(25, gt=0, lt=255)
    """Difference in grey values that counts."""

    @property
    def shown(self) -> str:
        """Return the device as anybody may read it: an address without its login and its query."""
        return shown_address(self.device)

    @model_validator(mode="after")
    def _snapshots_are_asked_for(self) -> Self:
        if self.mode == "snapshot" and self.trigger not in ("interval", "mqtt"):
            raise ValueError(
                f"mode = snapshot fetches an image when asked: trigger = interval or mqtt, not {self.trigger}"
            )
        if self.mode == "snapshot" and not self.device.startswith(("http://", "https://")):
            raise ValueError("mode = snapshot needs an address in device that begins with http:// or https://")
        return self


class PoolSettings(_Section):
    """Images that cameras elsewhere send over MQTT, shared among the workers of a pool."""

    kind: Literal["mqtt"]
    """Images that `edge-inspector camera` sends to a pool of stations."""
    pool: Name
    """The pool; its cameras name it too."""
    max_mb: int = Field(16, ge=1, le=200)
    """A larger image is INVALID."""
    away_s: int = Field(3600, ge=0, le=2_592_000)
    """How long the broker keeps an absent worker's share for it: late, not lost."""


OwnSettings: TypeAlias = Annotated[FolderSettings | CaptureSettings, Field(discriminator="kind")]
"""What a PC with a camera can have."""
SourceSettings: TypeAlias = Annotated[FolderSettings | CaptureSettings | PoolSettings, Field(discriminator="kind")]


class ViewSettings(_Section):
    """One of several images of a part."""

    name: PartName
    """As folder, file name or sidecar give it."""
    bundle: Path | None = None
    """Judges this view; the part's where not set."""


class PartSettings(_Section):
    """A part that the station can inspect."""

    name: PartName
    """Appears in results; no space, control character or + # / $."""
    bundle: Path
    """Folder that `edge-inspector train` wrote."""
    quality_off: tuple[QualityCheck, ...] = ()
    """Image quality checks to switch off: dark, saturated, low_contrast, blurred, moved, wrong_part."""
    view: tuple[ViewSettings, ...] = ()
    """Where a part has several images, told apart by view: all of them make one verdict, the worst."""

    @model_validator(mode="after")
    def _several(self) -> Self:
        names = [view.name for view in self.view]
        if len(names) == 1 or len(set(names)) < len(names):
            raise ValueError(f"part {self.name}: expected no view, or several of different names, got {names}")
        return self


class ShiftSettings(_Section):
    """A shift of the day; it ends when the next one begins."""

    name: Name
    """Its counters are on `counters/shift/{name}`."""
    start: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    """Wall clock, HH:MM."""


SHIFTS = tuple(ShiftSettings(name=start[:2], start=start) for start in ("06:00", "14:00", "22:00"))


class StationSettings(_Section):
    """One camera position with its own topics, counters and ledger."""

    name: Name
    """In every topic; no space, control character or + # / $."""
    source: SourceSettings
    """Where images come from."""
    part: tuple[PartSettings, ...] = Field(min_length=1)
    """The first one is active at the first start."""
    deadline_ms: int = Field(2000, ge=10, le=600_000)
    """A part without an answer this long after its image was complete is ERROR."""
    queue: int = Field(16, ge=1, le=1000)
    """Images that may wait."""
    thumbs: Literal["all", "not_ok", "none"] = "all"
    """Which parts' thumbnails are published."""
    threads: int = Field(0, ge=0, le=64)
    """CPU threads for the graphs; 0 is all."""
    parts_per_hour: int = Field(600, ge=0, le=1_000_000)
    """Rate at which the control charts give at most one false alarm a month; 0: no charts."""
    views_ms: int = Field(2000, ge=10, le=600_000)
    """Longest time from a part's first view to its last; else INVALID."""
    errors_to_restart: int = Field(10, ge=0, le=10_000)
    """After this many program failures in a row: alarm and restart; 0 is never."""
    ng_in_a_row: int = Field(0, ge=0, le=10_000)
    """After this many NG in a row: alarm to look at the process; 0 is never."""
    ng_rate_percent: float = Field(0, ge=0, lt=100)
    """Above this share of NG in the last `ng_rate_parts`: the same alarm; 0 is never."""
    ng_rate_parts: int = Field(100, ge=2, le=10_000)
    """Parts over which the rate is taken."""
    ng_stops: bool = False
    """`plc/ready` is 0 while that alarm is on; `plc/cmd/reset` or `cmd/self_check` ends it."""
    challenge_hours: float = Field(0, ge=0, le=8_760)
    """A challenge part must come out NG this often, else the station is not ready; 0 is never."""
    challenge_each_shift: bool = False
    """One must come out NG in each shift too."""
    challenge_serial: Annotated[str, AfterValidator(_expression)] = ""
    """Regular expression for the whole serial of such a part; empty: announced by `cmd/challenge`."""
    shift: tuple[ShiftSettings, ...] = Field(SHIFTS, min_length=1)
    """When shifts begin."""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [part.name for part in self.part]
        if len(set(names)) < len(names):
            raise ValueError(f"station {self.name}: two parts have the same name: {', '.join(names)}")
        for what in ("name", "start"):
            found = [getattr(shift, what) for shift in self.shift]
            if len(set(found)) < len(found):
                raise ValueError(f"station {self.name}: two shifts have the same {what}: {', '.join(found)}")
        return self

    @model_validator(mode="after")
    def _views_can_be_kept(self) -> Self:
        claims = isinstance(self.source, FolderSettings) and self.source.after != "keep"
        if any(part.view for part in self.part) and not claims:
            raise ValueError(f"station {self.name}: views need a folder source with after = move or delete")
        return self


class TlsSettings(_Section):
    """Encryption to the broker."""

    ca: Path
    """Certificate of the authority that signed the broker's."""
    certificate: Path | None = None
    """The station's own, where the broker asks for one."""
    key: Path | None = None
    """Of that certificate."""


class MqttSettings(_Section):
    """The broker."""

    host: str = "127.0.0.1"
    """Name or address."""
    port: int = Field(1883, ge=1, le=65535)
    """1883, or 8883 with TLS."""
    version: Literal[4, 5] = 5
    """4 is MQTT 3.1.1."""
    root: Annotated[str, AfterValidator(_root)] = DEFAULT_ROOT
    """Topics begin with `root/station`."""
    username: str = ""
    """Empty where the broker asks for none."""
    password_file: Path | None = None
    """File with only the password; under systemd LoadCredential and `/run/credentials/...`."""
    tls: TlsSettings | None = None
    """Encryption; none where the section is missing."""
    thumb_bytes: int = Field(20_000, ge=2_000, le=500_000)
    """Largest thumbnail."""
    legacy: bool = False
    """Publish the prior system's topics `AiVision_Defects/...` too; for one station."""


class LedgerSettings(_Section):
    """The store of results."""

    thumb_mb: int = Field(200, ge=1, le=100_000)
    """Thumbnails kept while the broker is away; the oldest go first, results never."""
    undelivered_rows: int = Field(200_000, ge=100, le=10_000_000)
    """Results and events that wait for the broker; beyond that the oldest are left to `cmd/resend`."""
    keep_days: int = Field(365, ge=1, le=36_500)
    """Days to keep results, events and the audit trail."""
    keep_rows: int = Field(2_000_000, ge=1_000, le=100_000_000)
    """Most rows of each; the oldest go first. A result takes about 2 kB."""
    reserve_mb: int = Field(64, ge=1, le=10_000)
    """Disk space held back for verdicts, used when the disk is full."""
    alarm_free_mb: int = Field(1_000, ge=1, le=10_000_000)
    """Less free disk space is an alarm."""

    @model_validator(mode="after")
    def _what_waits_is_kept(self) -> Self:
        if self.undelivered_rows > self.keep_rows:
            raise ValueError(f"undelivered_rows {self.undelivered_rows} is more than keep_rows {self.keep_rows}")
        return self


class ArchiveSettings(_Section):
    """Images of judged parts, kept for later."""

    keep: Literal["all", "not_ok", "none"] = "all"
    """Whose images are kept, as they came from the camera."""
    overlays: Literal["all", "not_ok", "none"] = "not_ok"
    """For which of them image, heat map and boxes are kept too; `explain` can draw it later."""
    path: Path | None = None
    """Default `archive` in the station's state folder. Each station has its own folder in it."""
    ok_days: int = Field(30, ge=1, le=36_500)
    """Days to keep images of OK parts."""
    not_ok_days: int = Field(365, ge=1, le=36_500)
    """Days to keep all others."""
    max_mb: int = Field(20_000, ge=1, le=100_000_000)
    """Per station; the oldest go: OK first, then INVALID, ERROR, REVIEW, NG, pinned last."""
    min_free_mb: int = Field(2_000, ge=1, le=100_000_000)
    """Disk space to leave free: the oldest go likewise; if that is not enough, nothing is kept."""


class MetricsSettings(_Section):
    """Figures for Prometheus, at `http://host:port/metrics`; none where the section is missing."""

    host: str = "127.0.0.1"
    """Address to listen on; any but this PC's own opens it to the network, without a login."""
    port: int = Field(9464, ge=1, le=65535)
    """Port to listen on."""


class LogSettings(_Section):
    """The log, on standard error."""

    format: Literal["text", "json"] = "text"
    """`json`: one object a line. Under systemd each line has its severity either way."""


class _File(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        env_prefix="EDGE_INSPECTOR_",
        env_nested_delimiter="__",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


class Settings(_File):
    """Everything that a daemon is told."""

    station: tuple[StationSettings, ...] = Field(min_length=1)
    """Camera positions."""
    state_dir: Path = Path("/var/lib/edge-inspector")
    """Ledgers and the lock; one daemon per folder."""
    performance: Literal["latency", "throughput"] = "latency"
    """`latency`: each part as fast as possible; `throughput`: several stations in parallel, each part slower."""
    mqtt: MqttSettings = MqttSettings()
    """The broker."""
    ledger: LedgerSettings = LedgerSettings()
    """The store of results."""
    archive: ArchiveSettings = ArchiveSettings()
    """Images of judged parts."""
    metrics: MetricsSettings | None = None
    """Figures for Prometheus; none where the section is missing."""
    log: LogSettings = LogSettings()
    """The log."""

    @model_validator(mode="after")
    def _pools_can_be_shared(self) -> Self:
        if self.mqtt.version != 5 and any(isinstance(station.source, PoolSettings) for station in self.station):
            raise ValueError("kind = mqtt needs mqtt.version = 5: shared subscriptions came with it")
        return self

    @model_validator(mode="after")
    def _unique_stations(self) -> Self:
        names = [station.name for station in self.station]
        if len(set(names)) < len(names):
            raise ValueError(f"two stations have the same name: {', '.join(names)}")
        folders = [str(s.source.path) for s in self.station if isinstance(s.source, FolderSettings)]
        if len(set(folders)) < len(folders):
            raise ValueError(f"two stations watch the same folder: {', '.join(folders)}")
        return self


class CameraSettings(_File):
    """Everything that `edge-inspector camera` is told: what a PC that has a camera, and no bundle, sends where."""

    name: Name
    """The camera's, in topics and results (`sender`)."""
    pool: Name
    """The workers that judge its images."""
    source: OwnSettings
    """Where images come from."""
    state_dir: Path = Path("/var/lib/edge-inspector-camera")
    """The lock, and captured images not judged yet; one sender per folder."""
    in_flight: int = Field(8, ge=1, le=1000)
    """Images sent but not judged; the others wait in the folder."""
    resend_s: int = Field(10, ge=1, le=3600)
    """An image without a result after this time is sent again, usually to another worker."""
    max_mb: int = Field(16, ge=1, le=200)
    """A larger image is not sent, and INVALID."""
    mqtt: MqttSettings = MqttSettings()
    """The broker, as for a daemon."""
    log: LogSettings = LogSettings()
    """The log."""

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.mqtt.version != 5:
            raise ValueError("a camera needs mqtt.version = 5: images carry their names in its properties")
        if isinstance(self.source, FolderSettings) and self.source.after == "keep":
            raise ValueError("a camera's images are claimed: after = move or delete")
        if isinstance(self.source, CaptureSettings) and self.source.trigger == "mqtt":
            raise ValueError("no PLC triggers a camera that sends to a pool: trigger = interval, every_frame, presence")
        return self


def read_settings(path: Path) -> Settings:
    """Return the settings in a TOML file; relative paths are relative to it.

    Raises:
        SettingsError: no such file, no TOML, an unknown key, or a value out of range; the message names the key.
    """
    return _read(path, Settings)


def read_camera_settings(path: Path) -> CameraSettings:
    """Return a camera's settings, as `read_settings` does a daemon's."""
    return _read(path, CameraSettings)


_Told = TypeVar("_Told", Settings, CameraSettings)


def _read(path: Path, kind: type[_Told]) -> _Told:
    environment = {name.upper(): value or "" for name, value in EnvSettingsSource(kind).env_vars.items()}
    _check_environment(kind, environment)
    try:
        values = _anchored(read_toml(path.read_bytes()), path.resolve().parent)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(values) - set(kind.model_fields))
    if unknown:  # pydantic-settings would take some, such as `_env_file`, for wishes to itself
        near = did_you_mean(unknown[0], kind.model_fields)
        raise SettingsError(f"{path}: unknown setting `{unknown[0]}`{near}")
    try:
        return kind(**values)
    except EnvironmentFault as error:
        raise SettingsError(f"environment variables {_PREFIX}*: {error}") from error
    except ValidationError as error:
        raise SettingsError(
            "; ".join(_told(path, environment, problem) for problem in problems(error, kind)[:_SHOWN])
        ) from error


_SHOWN = 3
"""Problems that are told at once."""
_PREFIX = "EDGE_INSPECTOR_"
_FOREIGN = (f"{_PREFIX}UI_", f"{_PREFIX}SUBSCRIPTION", f"{_PREFIX}OFFLINE_BUNDLE")
"""Variables of the dashboard and of the tests, which a shell or a container may share with us."""


def _check_environment(kind: type[_Told], environment: Mapping[str, str]) -> None:
    """Raise for a variable that no setting knows, or that is not JSON where a whole section is told by it.

    Raises:
        SettingsError: the message names the variable, and never shows a value.
    """
    known = dict(_variables(kind))
    for name, value in environment.items():
        if not name.startswith(_PREFIX) or name.startswith(_FOREIGN):
            continue
        if name not in known:
            raise SettingsError(f"environment variable {name}: no setting has this name{did_you_mean(name, known)}")
        if known[name] and not _is_json(value):
            raise SettingsError(f"environment variable {name}: expected JSON for a whole section")


def variables_in_use() -> tuple[str, ...]:
    """Return the environment variables that win over a daemon's settings file, by name."""
    set_here = {name.upper() for name in EnvSettingsSource(Settings).env_vars}
    return tuple(sorted(set_here & {name for name, _ in _variables(Settings)}))


def _variables(kind: type[BaseModel], before: str = _PREFIX) -> Iterator[tuple[str, bool]]:
    """Yield each variable that tells a setting, and whether it tells a whole section, as JSON."""
    for name, inner in fields_of(kind):
        yield f"{before}{name.upper()}", table_in(inner)
        for section in inner:
            if isinstance(section, type) and issubclass(section, BaseModel):
                yield from _variables(section, f"{before}{name.upper()}__")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _told(path: Path, environment: Mapping[str, str], problem: Problem) -> str:
    """Return a problem with its origin: the environment, where a variable tells the setting, else the file."""
    for count in range(len(problem.keys), 0, -1):
        name = f"{_PREFIX}{'__'.join(map(str, problem.keys[:count]))}".upper()
        if name in environment and _holds(environment[name], problem.keys[count:]):
            return f"environment variable {name}: {problem}"
    return f"{path}: {problem}"


def _holds(text: str, keys: tuple[str | int, ...]) -> bool:
    """Say whether a section that a variable tells has such a key."""
    value = json.loads(text) if keys else None
    for key in keys:
        try:
            value = value[key]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return False
    return True


_PATHS = frozenset({"path", "done", "bundle", "password_file", "ca", "certificate", "key", "state_dir"})


def _anchored(value: Any, folder: Path) -> Any:  # noqa: ANN401 - a TOML value is one of seven kinds
    if isinstance(value, dict):
        return {
            key: _placed(key, inner, folder)
            if isinstance(inner, str) and _is_path(key, inner)
            else _anchored(inner, folder)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_anchored(inner, folder) for inner in value]
    return value


def _placed(key: str, path: str, folder: Path) -> str:
    if any(not character.isprintable() for character in path):
        raise ValueError(f"{key} {path!r} holds what no path can: a control character")
    return str(folder / path)


def _is_path(key: str, value: str) -> bool:
    """Say whether a text is a file's name: a device may also be a camera's number or a URL."""
    return key in _PATHS or (key == "device" and not value.isdecimal() and "://" not in value)
