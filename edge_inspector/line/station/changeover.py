"""Which part is inspected: said by the supervisor, heard by whoever binds an image to a part."""

import contextlib
import queue
from collections.abc import Collection

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.commands import AcceptedCommand
from edge_inspector.line.ledger.station_state import StationState


class ActivePart:
    """One listener's view of the active part; `say` may come from another thread, `now` belongs to one."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()

    def say(self, part: str) -> None:
        """Announce a changeover."""
        self._said.put(part)

    def now(self) -> str:
        """Return the part that an image accepted now is bound to."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._part = self._said.get_nowait()
        return self._part


class CurrentPart:
    """The active part as the supervisor has it, and the parts that it may change over to; for its thread alone."""

    def __init__(
        self, name: str, known: Collection[str], listeners: tuple[ActivePart, ...], state: StationState
    ) -> None:
        self.name = name
        self.known = known
        self._listeners = listeners
        self._state = state

    def meant_by(self, asked: AcceptedCommand) -> str:
        """Return the part that a command is about: a self check's is the active one."""
        return self.name if asked.name == "self_check" else str(asked.args.get("part", ""))

    def change(self, part: str) -> str:
        """Take another part, and return why a restart would not know of it; empty where it will."""
        before, self.name = self.name, part
        try:
            self._state.set_active_part(part)
        except DiskError as error:
            return f"part {part} is on, but after a restart it would be {before} again: {error}"
        return ""

    def announce(self) -> None:
        """Tell all listeners."""
        for listener in self._listeners:
            listener.say(self.name)
