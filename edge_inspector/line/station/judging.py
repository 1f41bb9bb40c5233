"""The threads of a station that take images in, judge them, answer in time, and keep what is left of them."""

import queue
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspector.inspection.inspector import Evidence
from edge_inspector.inspection.model import Judgement
from edge_inspector.line.archive.archive import Archive, ArchiveFolders
from edge_inspector.line.collect.collector import Collector
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.ledger.upkeep import Upkeep
from edge_inspector.line.pool.pool import PoolSource
from edge_inspector.line.sources.judged_images import judged_of
from edge_inspector.line.sources.opening import open_source
from edge_inspector.line.sources.source import Source
from edge_inspector.line.sources.views import Assembly
from edge_inspector.line.station.changeover import ActivePart
from edge_inspector.line.station.queues import StationQueues
from edge_inspector.line.station.stage import Announce, Answering, Deadlines, Intake, PartLine
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import FolderSettings, PoolSettings, Settings, StationSettings

WAITING_IMAGES = 8
"""Parts whose images may wait for the archive, and as many to be collected: they are large."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Makes the stages from the source to the archive."""

    settings: Settings
    station: StationSettings
    lines: Mapping[str, PartLine] = field(repr=False)
    """By part, at the start."""
    queues: StationQueues = field(repr=False)
    environment: Environment
    folder: Path
    """The station's."""
    archive_folder: Path
    open_ledger: Callable[[], Ledger] = field(repr=False)
    stop: threading.Event = field(repr=False)
    announce: Announce = field(repr=False)
    part: ActivePart = field(repr=False)
    """For the thread that takes images in."""
    show: Callable[[Evidence, Judgement], tuple[bytes, ...]] = field(repr=False)
    """Draws further images of a judged part, for who wants them."""
    collector: Collector = field(repr=False)
    looked_over: bool
    """Whether the ledger was looked over before it was opened."""

    def threads(self) -> dict[str, Callable[[], None]]:
        """Return what each thread runs, by the thread's name."""
        assembly = self._assembly()
        source = self._source(assembly)
        archive = self._archive()
        return {
            "intake": self._intake(source, assembly).run,
            "inspect": self._answering(source, archive).run,
            "deadline": self._deadlines().run,
            "upkeep": self._upkeep().run,
            "archive": archive.run,
            "collect": self.collector.run,
        }

    def _assembly(self) -> Assembly:
        views = {part.name: tuple(view.name for view in part.view) for part in self.station.part if part.view}
        return Assembly(views, self.station.views_ms * 1_000_000, self.environment.monotonic_ns)

    def _source(self, assembly: Assembly) -> Source:
        environment = self.environment
        if isinstance(self.station.source, PoolSettings):
            return PoolSource(
                self.station.source,
                self.station.name,
                self.part.now,
                mqtt=self.settings.mqtt,
                new_id=environment.new_id,
                open_ledger=self.open_ledger,
                now_ns=environment.now_ns,
                monotonic_ns=environment.monotonic_ns,
                rng=environment.rng,
                say_again=self.queues.for_results.put,
            )
        return open_source(
            self.station.source,
            self.station.name,
            self.part.now,
            environment=environment,
            open_ledger=self.open_ledger,
            wait=self._wait,
            joins=assembly.joins,
            news=self.queues.camera,
        )

    def _intake(self, source: Source, assembly: Assembly) -> Intake:
        return Intake(
            source,
            self.queues.arrivals,
            self.queues.deadlines,
            self._worker("intake"),
            self.open_ledger,
            self.announce,
            self.queues.paused,
            assembly,
            self.station.name,
            _challenge_serials(self.station),
            self.queues.closing,
        )

    def _answering(self, source: Source, archive: Archive) -> Answering:
        return Answering(
            dict(self.lines),
            self.queues.arrivals,
            self._worker("inspect"),
            self.open_ledger,
            self.announce,
            source.done,
            self._deadline_ns,
            self.station.thumbs,
            self.settings.mqtt.thumb_bytes,
            self.queues.checks,
            self.show,
            archive.keep,
            self.queues.new_parts,
            self.collector.offer,
            self.queues.emptied,
        )

    def _deadlines(self) -> Deadlines:
        return Deadlines(
            self.queues.deadlines,
            self._worker("deadline"),
            self.open_ledger,
            self.announce,
            self._deadline_ns,
            self.station.name,
        )

    def _upkeep(self) -> Upkeep:
        return Upkeep(
            self.folder,
            self.settings.ledger,
            self._worker("upkeep"),
            self.open_ledger,
            self.environment.now_ns,
            self.looked_over,
        )

    def _archive(self) -> Archive:
        source = self.station.source
        return Archive(
            ArchiveFolders(self.archive_folder),
            self.settings.archive,
            self._worker("archive"),
            self.environment.now_ns,
            queue.Queue(WAITING_IMAGES),
            judged=judged_of(source) if isinstance(source, FolderSettings) else None,
        )

    def _worker(self, name: str) -> Worker:
        return self.queues.worker(name, self.stop, self.environment.monotonic_ns)

    def _wait(self, seconds: float) -> None:
        self.stop.wait(seconds)

    @property
    def _deadline_ns(self) -> int:
        return self.station.deadline_ms * 1_000_000


def _challenge_serials(station: StationSettings) -> Callable[[str], bool]:
    pattern = re.compile(station.challenge_serial)
    return lambda serial: bool(station.challenge_serial and pattern.fullmatch(serial))
