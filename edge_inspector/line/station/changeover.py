"""Which part is inspected: said by the supervisor, heard by whoever binds an image to a part."""

import contextlib
import queue
from dataclasses import dataclass, field
from typing import TypeAlias

Reply: TypeAlias = "queue.SimpleQueue[GoldenOutcome]"


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


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """A wish to see a part's golden images judged now, by the thread that judges."""

    part: str
    reply: Reply = field(repr=False)


@dataclass(frozen=True, slots=True)
class GoldenOutcome:
    """What came of a golden check."""

    part: str
    problems: tuple[str, ...]
    """Empty is good."""
