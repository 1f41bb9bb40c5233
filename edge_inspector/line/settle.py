"""When is a file complete?"""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Seen:
    size: int
    mtime_ns: int
    since_ns: int


class Settling:
    """Remembers files that no event vouched for, until they have been still for a while.

    An event (renamed into the folder, closed after writing) vouches at once; where events cannot be trusted, on
    network shares and at start, stillness does. Time is monotonic and given.
    """

    def __init__(self, quiet_ns: int) -> None:
        self._quiet_ns = quiet_ns
        self._seen: dict[str, _Seen] = {}
        self._vouched: set[str] = set()

    def vouch(self, name: str) -> None:
        """Take an event's word that the file `name` is complete."""
        self._vouched.add(name)

    def is_complete(self, name: str, status: os.stat_result, now_ns: int) -> bool:
        """Say whether the file may be taken."""
        if name in self._vouched:
            return True
        seen = self._seen.get(name)
        if seen is None or (seen.size, seen.mtime_ns) != (status.st_size, status.st_mtime_ns):
            self._seen[name] = seen = _Seen(status.st_size, status.st_mtime_ns, now_ns)
        return now_ns - seen.since_ns >= self._quiet_ns

    def waiting(self) -> bool:
        """Say whether some file is being watched."""
        return bool(self._seen)

    def keep_only(self, names: set[str]) -> None:
        """Forget files that are gone."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        self._vouched &= names

    def forget(self, name: str) -> None:
        """Forget a file that was taken: the next one of that name is another part."""
        self._seen.pop(name, None)
        self._vouched.discard(name)
