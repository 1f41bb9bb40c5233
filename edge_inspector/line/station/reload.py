"""Takes changed stations, parts and bundles into the running daemon, all of them or none."""

import logging
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from edge_inspector.bundle import Bundle, read_bundle
from edge_inspector.errors import DataError, DiskError, EdgeInspectorError, SettingsError
from edge_inspector.line.archive.trace import trace_of
from edge_inspector.line.environment import Now
from edge_inspector.line.station.crew import Crew, MakeStation
from edge_inspector.line.station.stage import PartLine
from edge_inspector.settings import PartSettings, Settings, StationSettings

logger = logging.getLogger(__name__)

_REFUSES = (EdgeInspectorError, OSError, RuntimeError, ValueError, MemoryError)
"""What a settings file, a bundle and the engine can fail with."""
_TAKEN_S = 0.5


@dataclass(frozen=True, slots=True)
class JudgingSetup:
    """What a station judges with."""

    bundles: Mapping[str, Bundle]
    lines: Mapping[str, PartLine]


@dataclass(frozen=True, slots=True)
class Opening:
    """How parts and stations are made, at the start and later."""

    part: Callable[[PartSettings, Settings, StationSettings], tuple[Bundle, PartLine]]
    station: Callable[[Settings, StationSettings, JudgingSetup], MakeStation]
    """Has its ledger ready, too."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A reload that has passed its checks."""

    settings: Settings
    judging: Mapping[str, JudgingSetup]
    leaving: tuple[str, ...]
    """Stations that end: removed from the settings, or wired in another way."""
    added: Mapping[str, MakeStation]

    @property
    def wired(self) -> tuple[StationSettings, ...]:
        """Stations that are started in place of one that ends."""
        return tuple(station for station in self.settings.station if station.name in self.leaving)

    @property
    def going_on(self) -> tuple[StationSettings, ...]:
        """Stations that hear of new parts and bundles, and do not stop."""
        changed = {*self.leaving, *self.added}
        return tuple(station for station in self.settings.station if station.name not in changed)


@dataclass(frozen=True, slots=True)
class Reload:
    """The thread that waits for SIGHUP; while it works, everything is judged as before."""

    asked: "queue.SimpleQueue[bool]" = field(repr=False)
    """True asks for a reload, False is the end."""
    read: Callable[[], Settings] = field(repr=False)
    """Reads the settings file again."""
    opening: Opening = field(repr=False)
    tell: Callable[..., object] = field(repr=False)
    """Tells systemd."""
    stopping: Callable[[], bool] = field(repr=False)
    monotonic_ns: Now = field(repr=False)

    def run(self, settings: Settings, crew: Crew, judging: Mapping[str, JudgingSetup]) -> None:
        """Reload as often as asked, beginning with what the daemon was started with."""
        while self._is_asked():
            self.tell("RELOADING=1", f"MONOTONIC_USEC={self.monotonic_ns() // 1000}", "STATUS=reloading")
            try:
                plan = self._checked(settings, crew, judging)
            except _REFUSES as error:
                logger.warning("reload refused, everything stays as it was: %s", error)
                for station in settings.station:
                    crew.station(station.name).refuse(str(error))
                self.tell("READY=1", f"STATUS=reload refused: {error}".replace("\n", " "))
                continue
            settings, judging = plan.settings, plan.judging
            self._hand_over(plan, crew)
            if not self._replace(plan, crew):
                return
            logger.warning("reloaded: %s", _in_words(judging))
            self.tell("READY=1", f"STATUS=reloaded: {_in_words(judging)}")

    def _is_asked(self) -> bool:
        """Wait for a request; several that came meanwhile are one."""
        wanted = self.asked.get()
        while wanted and not self.asked.empty():
            wanted = self.asked.get()
        return wanted

    def _checked(self, settings: Settings, crew: Crew, judging: Mapping[str, JudgingSetup]) -> _Plan:
        """Return what the settings file says now, every bundle verified and its golden images judged.

        Raises:
            SettingsError: it is not valid, or changes what needs a new start.
            DataError: a bundle cannot be used.
            DiskError: a new station can have no ledger.
        """
        new = self.read()
        check_changeable(settings, new)
        before = {station.name: station for station in settings.station}
        for station in new.station:
            if station.name in before:
                _check_active_part(station, crew.station(station.name).active_part())
        opened = {
            station.name: self._opened(
                new, station, before.get(station.name, station), judging.get(station.name, JudgingSetup({}, {}))
            )
            for station in new.station
        }
        return _Plan(
            settings=new,
            judging=opened,
            leaving=changed_stations(settings, new),
            added={
                station.name: self.opening.station(new, station, opened[station.name])
                for station in new.station
                if station.name not in before
            },
        )

    def _opened(
        self, settings: Settings, station: StationSettings, before: StationSettings, old: JudgingSetup
    ) -> JudgingSetup:
        known = {part.name: part for part in before.part if station.threads == before.threads}
        bundles, lines = {}, {}
        for part in station.part:
            if self.stopping():
                raise DataError("the daemon is ending")
            was_unable = part.name in old.lines and part.name not in old.bundles
            try:
                bundles[part.name], lines[part.name] = self._kept_or_fresh(
                    settings, station, part, old, same=part == known.get(part.name)
                )
            except DataError as error:
                words = f"station {station.name}, part {part.name}: {error}"
                if not was_unable:
                    raise DataError(words) from error
                logger.warning("still not ready: %s", words)
                lines[part.name] = PartLine(None, None, str(error))
        return JudgingSetup(bundles, lines)

    def _kept_or_fresh(
        self, settings: Settings, station: StationSettings, part: PartSettings, old: JudgingSetup, *, same: bool
    ) -> tuple[Bundle, PartLine]:
        """Return what judged the part before where that is unchanged, else what was opened now."""
        bundle = old.bundles.get(part.name)
        if same and bundle is not None and not part.view and read_bundle(part.bundle.resolve()).id == bundle.id:
            return bundle, replace(old.lines[part.name], trace=trace_of(bundle.recipe, settings))
        return self.opening.part(part, settings, station)

    def _replace(self, plan: _Plan, crew: Crew) -> bool:
        """End the stations that leave, and start those that come, under the same ledgers; says whether that went well.

        All of them have ended before the first one starts: it may watch a folder that another one has left. What goes
        wrong now cannot be taken back, so the program starts again.
        """
        if not crew.close(plan.leaving) or self.stopping():
            return False
        try:
            again = {
                station.name: self.opening.station(plan.settings, station, plan.judging[station.name])
                for station in plan.wired
            }
            crew.start({**again, **plan.added})
        except DiskError as error:
            crew.give_up(", ".join(plan.leaving), str(error))
            return False
        return True

    def _hand_over(self, plan: _Plan, crew: Crew) -> None:
        """Give each station that stays what it goes on with, and return when the judging threads have it."""
        taken: queue.SimpleQueue[None] = queue.SimpleQueue()
        for station in plan.going_on:
            new = plan.judging[station.name]
            crew.station(station.name).renew(plan.settings, station, new.bundles, new.lines, taken)
        missing = len(plan.going_on)
        while missing and not self.stopping():
            try:
                taken.get(timeout=_TAKEN_S)
            except queue.Empty:
                continue  # an image is being judged, or waits for the disk
            missing -= 1


def check_changeable(running: Settings, wanted: Settings) -> None:
    """Raise unless the two differ in their stations only: what all of them share is wired at the start.

    Raises:
        SettingsError: the message names the key, never a value.
    """
    if wanted.mqtt.legacy and running != wanted:
        raise SettingsError("mqtt.legacy draws its images with the limits of the start: `systemctl restart` takes it")
    dumped = [settings.model_dump(mode="json", exclude={"station"}) for settings in (running, wanted)]
    changed = next(_changed("", *dumped), "")
    if changed:
        raise SettingsError(f"{changed} cannot be changed while the daemon runs: `systemctl restart` takes it")


def _check_active_part(station: StationSettings, active: str) -> None:
    if active not in {part.name for part in station.part}:
        raise SettingsError(
            f"station {station.name}: part {active} is active, it cannot be removed: change over to another part first"
        )


def changed_stations(running: Settings, wanted: Settings) -> tuple[str, ...]:
    """Return the running stations that must end: those that are removed, and those that differ in more than parts."""
    new = {station.name: station for station in wanted.station}
    return tuple(
        station.name
        for station in running.station
        if station.name not in new or _wiring(station) != _wiring(new[station.name])
    )


def _wiring(station: StationSettings) -> tuple[StationSettings, dict[str, list[str]]]:
    """Return what threads are made with; of the parts, which views they have: images of them are being put together."""
    views = {part.name: [view.name for view in part.view] for part in station.part if part.view}
    return station.model_copy(update={"part": ()}), views


def _changed(key: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _changed(f"{key}.{name}".lstrip("."), old.get(name), new.get(name))
    elif old != new:
        yield key


def _in_words(judging: Mapping[str, JudgingSetup]) -> str:
    return ", ".join(
        f"{station} {part} {new.bundles[part].id if part in new.bundles else 'cannot be judged'}"
        for station, new in judging.items()
        for part in new.lines
    )
