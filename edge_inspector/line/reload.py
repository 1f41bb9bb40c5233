"""Takes changed parts and new bundles into the running daemon, all of them or none."""

import logging
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from edge_inspector.bundle import Bundle, read_bundle
from edge_inspector.errors import DataError, EdgeInspectorError, SettingsError
from edge_inspector.line.source import Now
from edge_inspector.line.stage import PartLine
from edge_inspector.line.station import Station
from edge_inspector.line.trace import trace_of
from edge_inspector.settings import PartSettings, Settings, StationSettings

logger = logging.getLogger(__name__)

_REFUSES = (EdgeInspectorError, OSError, RuntimeError, ValueError, MemoryError)
"""What a settings file, a bundle and the engine can fail with."""
_TAKEN_S = 0.5

OpenPart: TypeAlias = Callable[[PartSettings, Settings, StationSettings], tuple[Bundle, PartLine]]


@dataclass(frozen=True, slots=True)
class Judging:
    """What a station judges with."""

    bundles: Mapping[str, Bundle]
    lines: Mapping[str, PartLine]


@dataclass(frozen=True, slots=True)
class Reload:
    """The thread that waits for SIGHUP; while it works, everything is judged as before."""

    asked: "queue.SimpleQueue[bool]" = field(repr=False)
    """True is a wish to reload, False is the end."""
    read: Callable[[], Settings] = field(repr=False)
    """Reads the settings file again."""
    open_part: OpenPart = field(repr=False)
    tell: Callable[..., object] = field(repr=False)
    """Tells systemd."""
    stopping: Callable[[], bool] = field(repr=False)
    monotonic_ns: Now = field(repr=False)

    def run(self, settings: Settings, stations: Sequence[Station], judging: Mapping[str, Judging]) -> None:
        """Reload as often as asked, beginning with what the daemon was started with."""
        while self._is_asked():
            self.tell("RELOADING=1", f"MONOTONIC_USEC={self.monotonic_ns() // 1000}", "STATUS=reloading")
            try:
                found = self._checked(settings, stations, judging)
            except _REFUSES as error:
                logger.warning("reload refused, everything stays as it was: %s", error)
                for station in stations:
                    station.refuse(str(error))
                self.tell("READY=1", f"STATUS=reload refused: {error}".replace("\n", " "))
                continue
            settings, judging = found
            self._hand_over(settings, stations, judging)
            logger.warning("reloaded: %s", _in_words(judging))
            self.tell("READY=1", f"STATUS=reloaded: {_in_words(judging)}")

    def _is_asked(self) -> bool:
        """Wait for a wish; several that came meanwhile are one."""
        wanted = self.asked.get()
        while wanted and not self.asked.empty():
            wanted = self.asked.get()
        return wanted

    def _checked(
        self, settings: Settings, stations: Sequence[Station], judging: Mapping[str, Judging]
    ) -> tuple[Settings, Mapping[str, Judging]]:
        """Return what the settings file says now, every bundle verified and its golden pictures judged.

        Raises:
            SettingsError: it is not valid, or changes what needs a new start.
            DataError: a bundle cannot be used.
        """
        new = self.read()
        check_changeable(settings, new)
        for station, running in zip(new.station, stations, strict=True):
            if running.active_part() not in {part.name for part in station.part}:
                raise SettingsError(
                    f"station {station.name}: part {running.active_part()} is active, it cannot be taken out: "
                    "change over to another part first"
                )
        before = {station.name: station for station in settings.station}
        return new, {
            station.name: self._opened(new, station, before[station.name], judging[station.name])
            for station in new.station
        }

    def _opened(self, settings: Settings, station: StationSettings, before: StationSettings, old: Judging) -> Judging:
        known = {part.name: part for part in before.part}
        bundles, lines = {}, {}
        for part in station.part:
            if self.stopping():
                raise DataError("the daemon is ending")
            same = part == known.get(part.name) and not part.view and part.name in old.bundles
            if same and read_bundle(part.bundle.resolve()).id == old.bundles[part.name].id:
                bundle, line = old.bundles[part.name], old.lines[part.name]
                line = replace(line, trace=trace_of(bundle.recipe, settings))
            else:
                bundle, line = self._fresh(part, settings, station)
            bundles[part.name], lines[part.name] = bundle, line
        return Judging(bundles, lines)

    def _fresh(self, part: PartSettings, settings: Settings, station: StationSettings) -> tuple[Bundle, PartLine]:
        try:
            return self.open_part(part, settings, station)
        except DataError as error:
            raise DataError(f"station {station.name}, part {part.name}: {error}") from error

    def _hand_over(self, settings: Settings, stations: Sequence[Station], judging: Mapping[str, Judging]) -> None:
        """Give each station what it goes on with, and return when the judging threads have it."""
        taken: queue.SimpleQueue[None] = queue.SimpleQueue()
        for station, running in zip(settings.station, stations, strict=True):
            new = judging[station.name]
            running.renew(settings, station, new.bundles, new.lines, taken)
        missing = len(stations)
        while missing and not self.stopping():
            try:
                taken.get(timeout=_TAKEN_S)
            except queue.Empty:
                continue  # a picture is being judged, or waits for the disk
            missing -= 1


def check_changeable(running: Settings, wanted: Settings) -> None:
    """Raise unless the two differ in parts and bundles only: everything else is wired at the start.

    Raises:
        SettingsError: the message names the key, never a value.
    """
    if wanted.mqtt.legacy and running != wanted:
        raise SettingsError("mqtt.legacy draws its pictures with the limits of the start: `systemctl restart` takes it")
    changed = next(_changed("", _fixed(running), _fixed(wanted)), "")
    if changed:
        raise SettingsError(f"{changed} cannot be changed while the daemon runs: `systemctl restart` takes it")


def _fixed(settings: Settings) -> dict[str, Any]:
    """Return what cannot change; of the parts, only which views they have: pictures of them are being put together."""
    found: dict[str, Any] = settings.model_dump(mode="json")
    found["station"] = {
        station.name: {
            **{key: value for key, value in dumped.items() if key != "part"},
            "part.view": {part.name: [view.name for view in part.view] for part in station.part if part.view},
        }
        for station, dumped in zip(settings.station, found["station"], strict=True)
    }
    return found


def _changed(key: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _changed(f"{key}.{name}".lstrip("."), old.get(name), new.get(name))
    elif old != new:
        yield key


def _in_words(judging: Mapping[str, Judging]) -> str:
    return ", ".join(
        f"{station} {part} {bundle.id}" for station, new in judging.items() for part, bundle in new.bundles.items()
    )
