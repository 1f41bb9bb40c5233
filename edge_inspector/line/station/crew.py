"""The stations of a process: started, closed and replaced one by one, while the others go on."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edge_inspector.line.environment import Now
from edge_inspector.line.station.signs import Come, Gone, Restart, Signs
from edge_inspector.line.station.station import Station

logger = logging.getLogger(__name__)

_EMPTIED_NS = 30_000_000_000
"""So long a station that is closed has for what it took in; systemd waits 120 s for a reload."""
_LOOK_S = 0.25


MakeStation: TypeAlias = Callable[[threading.Event], Station]
"""Makes a station that the event ends; it does not run yet."""


@dataclass(frozen=True, slots=True)
class _Member:
    station: Station
    stop: threading.Event
    thread: threading.Thread


def _made(name: str, make: MakeStation) -> _Member:
    stop = threading.Event()
    station = make(stop)
    return _Member(station, stop, threading.Thread(target=station.run, name=name))


class Crew:
    """Belongs to one thread at a time: the main one, and the reloading one from its start to its end."""

    def __init__(self, signs: Signs, stopping: Callable[[], bool], monotonic_ns: Now) -> None:
        self._signs = signs
        self._stopping = stopping
        self._monotonic_ns = monotonic_ns
        self._members: dict[str, _Member] = {}
        self._paused: set[str] = set()
        """Stations that were closed while an operator had paused them."""

    def start(self, stations: Mapping[str, MakeStation]) -> None:
        """Serve these from now on, all of them or none; one that was paused when it was closed stays so.

        Raises:
            DiskError: the ledger of one cannot be opened.
        """
        made = {name: _made(name, make) for name, make in stations.items()}
        for name, member in made.items():
            if name in self._paused:
                member.station.pause()
            self._paused.discard(name)
            self._members[name] = member
            self._signs.put(Come(name, member.stop))
            member.thread.start()
            if self._stopping():
                member.stop.set()  # the main thread may have looked for the last time before it could hear of this one

    def station(self, name: str) -> Station:
        """Return a station that is served."""
        return self._members[name].station

    def close(self, names: Collection[str]) -> bool:
        """End these stations, each as soon as all that it took in is answered; says whether all their threads ended.

        Else the process must start again: a camera or folder that an old thread still holds is no new one's.
        """
        leaving = {name: self._members.pop(name) for name in names}
        for name, member in leaving.items():
            self._signs.put(Gone(name))
            if member.station.is_paused():
                self._paused.add(name)
            member.station.close()
        until = self._monotonic_ns() + _EMPTIED_NS
        for name, member in leaving.items():
            while member.thread.is_alive() and self._monotonic_ns() < until and not self._stopping():
                member.thread.join(_LOOK_S)
            if member.thread.is_alive():
                logger.warning("station %s: what waits is not answered in time, it stays claimed", name)
            member.stop.set()
            member.thread.join()
        stuck = [name for name, member in leaving.items() if not member.station.ended.is_set()]
        for name in stuck:
            self.give_up(name, "its threads do not end")
        return not stuck

    def give_up(self, names: str, why: str) -> None:
        """Have the program start again: some stations have ended and cannot be started."""
        self._signs.put(Restart(names, f"{why}: the program starts again"))

    def stop(self) -> None:
        """End all, as the process ends: what waits stays claimed."""
        for member in self._members.values():
            member.stop.set()
        for member in self._members.values():
            member.thread.join()
