"""The daemon's settings: one TOML file, environment and systemd credentials for secrets; unknown keys are errors."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as EnvironmentFault

from edge_inspector.errors import SettingsError
from edge_inspector.wire.topics import DEFAULT_ROOT, check_name, check_root

_GROUPS = frozenset({"serial", "lot", "view"})


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
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    if not groups or not groups <= _GROUPS:
        raise ValueError(f"expected named groups out of {', '.join(sorted(_GROUPS))}, got {sorted(groups) or 'none'}")
    return value


Name = Annotated[str, AfterValidator(_name)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FolderSettings(_Section):
    """A folder into which a camera writes pictures."""

    kind: Literal["folder"]
    """A folder that a camera writes to."""
    path: Path
    """The watched folder; on a share too."""
    after: Literal["move", "delete", "keep"] = "move"
    """What becomes of a judged picture: `move` to `done`, `delete`, or `keep` (for read-only shares)."""
    done: Path | None = None
    """Where judged pictures are moved; default `.done` inside `path`. Must be on the same file system."""
    settle_ms: int = Field(500, ge=0, le=60_000)
    """A file that no event says is complete must be still for so long."""
    scan_ms: int = Field(1000, ge=10, le=60_000)
    """How often the folder is listed, events or not."""
    name_pattern: Annotated[str, AfterValidator(_pattern)] = r"(?P<serial>.*)"
    """Regular expression over the file name without its ending; named groups serial, lot, view."""


class CaptureSettings(_Section):
    """A camera, a network stream or a video file, read with OpenCV."""

    kind: Literal["capture"]
    """A camera, a stream or a video file."""
    device: str
    """A number (/dev/videoN), a device path, a URL (rtsp://, http://) or a video file."""
    interval_ms: int = Field(1000, ge=1, le=86_400_000)
    """A picture is taken so often, where nothing else triggers."""
    trigger: Literal["interval", "mqtt"] = "interval"
    """`mqtt`: a picture is taken at `cmd/trigger` or `plc/cmd/trigger`."""
    delay_ms: int = Field(0, ge=0, le=60_000)
    """From the trigger to the first frame that may be taken."""
    width: int | None = Field(None, ge=16, le=16384)
    """Asked of the camera; its own where not set."""
    height: int | None = Field(None, ge=16, le=16384)
    """As width."""


SourceSettings: TypeAlias = Annotated[FolderSettings | CaptureSettings, Field(discriminator="kind")]


class PartSettings(_Section):
    """A part that the station can inspect."""

    name: Name
    """Appears in results; no space, control character or + # / $."""
    bundle: Path
    """Folder that `edge-inspector train` wrote."""


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
    """Becomes part of every topic; no space, control character or + # / $."""
    source: SourceSettings
    """Where pictures come from."""
    part: tuple[PartSettings, ...] = Field(min_length=1)
    """The first one is active at the first start."""
    deadline_ms: int = Field(2000, ge=10, le=600_000)
    """A part without an answer so long after its picture was complete becomes ERROR."""
    queue: int = Field(16, ge=1, le=1000)
    """Pictures that may wait."""
    thumbs: Literal["all", "not_ok", "none"] = "all"
    """Which parts' thumbnails are published."""
    threads: int = Field(0, ge=0, le=64)
    """Processors for the graphs; 0 is all."""
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


class TlsSettings(_Section):
    """Encryption to the broker."""

    ca: Path
    """Certificate of the authority that signed the broker's."""
    certificate: Path | None = None
    """This station's own, where the broker asks for one."""
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
    """A file that holds the password alone; under systemd use LoadCredential and `/run/credentials/...`."""
    tls: TlsSettings | None = None
    """Encryption; none where the section is missing."""
    thumb_bytes: int = Field(20_000, ge=2_000, le=500_000)
    """Largest thumbnail."""
    legacy: bool = False
    """Publish the prior system's topics, `AiVision_Defects/...`, as well; for one station."""


class LedgerSettings(_Section):
    """The store of results."""

    thumb_mb: int = Field(200, ge=1, le=100_000)
    """Thumbnails kept for the broker while it is away; the oldest go first, results never."""


class MetricsSettings(_Section):
    """Figures for Prometheus, at `http://host:port/metrics`; none where the section is missing."""

    host: str = "127.0.0.1"
    """Where it listens; another address than this PC's own opens it to the network, without a login."""
    port: int = Field(9464, ge=1, le=65535)
    """Of its own."""


class LogSettings(_Section):
    """The log, on standard error."""

    format: Literal["text", "json"] = "text"
    """`json`: one object a line. Under systemd each line has its severity either way."""


class Settings(BaseSettings):
    """Everything that a daemon is told."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        env_prefix="EDGE_INSPECTOR_",
        env_nested_delimiter="__",
    )

    station: tuple[StationSettings, ...] = Field(min_length=1)
    """Camera positions."""
    state_dir: Path = Path("/var/lib/edge-inspector")
    """Ledgers and the lock; one daemon a folder."""
    mqtt: MqttSettings = MqttSettings()
    """The broker."""
    ledger: LedgerSettings = LedgerSettings()
    """The store of results."""
    metrics: MetricsSettings | None = None
    """Figures for Prometheus; none where the section is missing."""
    log: LogSettings = LogSettings()
    """The log."""

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

    @model_validator(mode="after")
    def _unique_stations(self) -> Self:
        names = [station.name for station in self.station]
        if len(set(names)) < len(names):
            raise ValueError(f"two stations have the same name: {', '.join(names)}")
        folders = [str(s.source.path) for s in self.station if isinstance(s.source, FolderSettings)]
        if len(set(folders)) < len(folders):
            raise ValueError(f"two stations watch the same folder: {', '.join(folders)}")
        return self


def read_settings(path: Path) -> Settings:
    """Return the settings in a TOML file; relative paths are relative to it.

    Raises:
        SettingsError: no such file, no TOML, an unknown key, or a value out of range; the message names the key.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}") from error
    try:
        return Settings(**_anchored(found, path.resolve().parent))
    except EnvironmentFault as error:
        raise SettingsError(f"environment EDGE_INSPECTOR_*: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{path}: {where}: {first['msg']}") from error


_PATHS = frozenset({"path", "done", "bundle", "password_file", "ca", "certificate", "key", "state_dir"})


def _anchored(value: Any, folder: Path) -> Any:  # noqa: ANN401 - a TOML value is one of seven kinds
    if isinstance(value, dict):
        return {
            key: str(folder / inner) if key in _PATHS and isinstance(inner, str) else _anchored(inner, folder)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_anchored(inner, folder) for inner in value]
    return value
