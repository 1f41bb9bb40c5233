"""Puts the pictures of one part together: told apart by view, held together by serial, one answer for all of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from edge_inspector.inspection.model import Frame, Identity, Reason, Unreadable, Views
from edge_inspector.line.ledger import Ledger
from edge_inspector.line.naming import Names
from edge_inspector.line.source import Accepted, Now

_STRAGGLER_NS = 60_000_000_000
"""A view that was missing and comes within this time belongs to the part that was answered without it."""
_AND = "+"
"""Between missing views in a result; no view's name has it."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part whose pictures are coming."""

    first_ns: int
    """Monotonic."""
    identity: Identity
    pictures: list[Frame | Unreadable] = field(default_factory=list)

    @property
    def seen(self) -> set[str]:
        return {picture.identity.view for picture in self.pictures}


@dataclass(frozen=True, slots=True)
class _Closed:
    """A part that went on without all its views; its answer may not be in the ledger yet."""

    id: str
    missing: tuple[str, ...]
    at_ns: int


class Assembly:
    """Collects views until a part is complete or its time is over; belongs to the intake thread alone.

    What is collected lies in the claimed folder and comes again after a restart, under the same arrival.
    """

    def __init__(self, views: Mapping[str, tuple[str, ...]], within_ns: int, monotonic_ns: Now) -> None:
        self._views = views
        self._within_ns = within_ns
        self._monotonic_ns = monotonic_ns
        self._open: dict[str, _Part] = {}
        self._closed: dict[tuple[str, str], _Closed] = {}

    def is_empty(self) -> bool:
        """Say whether no part waits for further views."""
        return not self._open

    def joins(self, ledger: Ledger, names: Names) -> str:
        """Return the arrival of the part that a picture belongs to; empty when it begins a part."""
        if names.part not in self._views or not names.serial:
            return ""
        for arrival_id, part in self._open.items():
            if (part.identity.part, part.identity.serial) == (names.part, names.serial):
                return arrival_id
        return self._answered_without(ledger, names)

    def add(self, accepted: Accepted) -> Iterator[Accepted]:
        """Take a picture in and yield what can be judged now: the picture itself, its whole part, or nothing."""
        arrival = accepted.arrival
        identity = arrival.identity
        if isinstance(arrival, Views) or identity.part not in self._views or _has_bad_name(arrival):
            yield accepted
        elif not identity.serial:
            detail = f"a picture of {identity.part}, which has views, needs a serial"
            yield replace(accepted, arrival=Unreadable(identity, Reason.BAD_NAME, detail))
        else:
            part = self._open.setdefault(identity.id, _Part(accepted.accepted_ns, identity))
            part.pictures.append(self._known(arrival))
            if not self._missing(part):
                self._closed.pop((identity.part, identity.serial), None)
                yield self._close(part, accepted.accepted_ns)

    def overdue(self) -> Iterator[Accepted]:
        """Yield the parts whose time is over before all their views came."""
        now = self._monotonic_ns()
        for part in tuple(self._open.values()):
            if now - part.first_ns >= self._within_ns:
                missing = self._missing(part)
                detail = f"no picture of view {', '.join(missing)} within {self._within_ns / 1e6:.0f} ms"
                identity = replace(part.identity, view=_AND.join(missing))
                part.pictures.append(Unreadable(identity, Reason.MISSING_VIEW, detail))
                self._closed[identity.part, identity.serial] = _Closed(identity.id, missing, now)
                yield self._close(part, now)
        self._closed = {key: one for key, one in self._closed.items() if now - one.at_ns < _STRAGGLER_NS}

    def _close(self, part: _Part, accepted_ns: int) -> Accepted:
        del self._open[part.identity.id]
        replayed = any(picture.identity.replayed for picture in part.pictures)
        identity = replace(part.identity, view="", replayed=replayed)
        return Accepted(Views(identity, tuple(part.pictures)), accepted_ns)

    def _missing(self, part: _Part) -> tuple[str, ...]:
        return tuple(view for view in self._views[part.identity.part] if view not in part.seen)

    def _known(self, arrival: Frame | Unreadable) -> Frame | Unreadable:
        known = self._views[arrival.identity.part]
        if arrival.identity.view in known:
            return arrival
        detail = f"view {arrival.identity.view!r} is unknown; known are {', '.join(known)}"
        return Unreadable(arrival.identity, Reason.BAD_NAME, detail)

    def _answered_without(self, ledger: Ledger, names: Names) -> str:
        """Return the part that was answered, or is about to be, without just this view."""
        closed = self._closed.get((names.part, names.serial))
        if closed is not None:
            return closed.id if names.view in closed.missing else ""
        payload = ledger.last_answer(names.part, names.serial, _STRAGGLER_NS)
        if payload is None:
            return ""
        answer = json.loads(payload)
        was_missing = answer["reason_code"] == Reason.MISSING_VIEW.number
        return str(answer["id"]) if was_missing and names.view in answer["view"].split(_AND) else ""


def _has_bad_name(arrival: Frame | Unreadable) -> bool:
    return isinstance(arrival, Unreadable) and arrival.reason is Reason.BAD_NAME
