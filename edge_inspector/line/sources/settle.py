"""When is a file complete?"""

import os
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Seen:
    size: int
    mtime_ns: int
    since_ns: int
    whole: bool | None = None
    """Whether its content ends as an image ends; None until it was looked at."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a file must have been still before it is taken."""

    quiet_ns: int
    """That no event speaks for."""
    closed_ns: int
    """After its writer has closed it: a writer may open it again at once."""
    unfinished_ns: int
    """Whose content ends too early."""


class Settling:
    """Remembers files until they have been still for a while.

    A file that was renamed into its place is complete at once: its sender says so. One that was closed after writing is
    complete soon, since some senders create it first and fill it later; where events cannot be trusted, on network
    shares and at start, stillness takes longer. What ends too early is waited for longest. Time is monotonic and given.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._seen: dict[str, _Seen] = {}
        self._moved: set[str] = set()
        self._closed: set[str] = set()

    def vouch(self, name: str, *, moved: bool) -> None:
        """Take an event's word: the file `name` was renamed into its place, or closed after writing."""
        (self._moved.add if moved else self._moved.discard)(name)
        if not moved:
            self._closed.add(name)
            self._seen.pop(name, None)

    def is_complete(self, name: str, status: os.stat_result, now_ns: int, is_whole: Callable[[], bool]) -> bool:
        """Say whether the file may be taken; `is_whole` looks at its content, once for each state of it."""
        if name in self._moved:
            return True
        seen = self._seen.get(name)
        if seen is None or (seen.size, seen.mtime_ns) != (status.st_size, status.st_mtime_ns):
            self._seen[name] = seen = _Seen(status.st_size, status.st_mtime_ns, now_ns)
        still_ns = now_ns - seen.since_ns
        if still_ns < self._quiet_ns(name):
            return False
        if seen.whole is None:
            seen.whole = is_whole()
        return seen.whole or still_ns >= self._patience.unfinished_ns

    def due_ns(self, now_ns: int) -> int | None:
        """Return how long it is until some file may be complete; None where none is waited for."""
        ends = (seen.since_ns + self._wait_ns(name, seen) - now_ns for name, seen in self._seen.items())
        return min((left for left in ends if left > 0), default=None)

    def keep_only(self, names: set[str]) -> None:
        """Forget files that are gone."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        self._moved &= names
        self._closed &= names

    def forget(self, name: str) -> None:
        """Forget a file that was taken: the next one of that name is another part."""
        self._seen.pop(name, None)
        self._moved.discard(name)
        self._closed.discard(name)

    def _quiet_ns(self, name: str) -> int:
        return self._patience.closed_ns if name in self._closed else self._patience.quiet_ns

    def _wait_ns(self, name: str, seen: _Seen) -> int:
        return self._quiet_ns(name) if seen.whole is None else self._patience.unfinished_ns
