"""What must outlive even the ledger: numbers that were given out, and which part is on. Kept in a file beside it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_inspector.atomic import write_file
from edge_inspector.errors import DiskError

BLOCK = 1000
"""Numbers vouched for at once: one write in a thousand results."""


_MOST = 2**62
"""SQLite counts to twice that."""
_LOST = "?"
"""Nothing that `Monitor.encode` writes."""


@dataclass(frozen=True, slots=True)
class Marks:
    """No number above these was ever given out."""

    seq: int = 0
    plc_seq: int = 0
    active_part: str = ""
    monitor: str = ""
    """As `Monitor.encode` wrote it."""


def _sound(marks: Marks) -> Marks:
    """Return marks that a ledger can go on from.

    Raises:
        ValueError: numbers that no ledger gives, or text that is none.
    """
    f"{marks.active_part}{marks.monitor}".encode()
    if not (0 <= marks.seq <= _MOST and 0 <= marks.plc_seq <= _MOST):
        raise ValueError(f"expected numbers from 0 to {_MOST}, got {marks.seq} and {marks.plc_seq}")
    return marks


@dataclass(frozen=True, slots=True)
class HighWater:
    """The file `high-water.json`."""

    path: Path

    def read(self) -> Marks:
        """Return the marks; those of a new station where there is no file, or none that can be read.

        A damaged file must not keep the station from starting: its ledger is the truth as long as there is one. But
        whether a ledger that is begun without it begins in monitor mode is not known, so it does.
        """
        try:
            found = json.loads(self.path.read_bytes())
            monitor = str(found.get("monitor", ""))  # an older program's file has none
            return _sound(Marks(int(found["seq"]), int(found["plc_seq"]), str(found["active_part"]), monitor))
        except FileNotFoundError:
            return Marks()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return Marks(monitor=_LOST)

    def rise(
        self, *, seq: int = 0, plc_seq: int = 0, active_part: str | None = None, monitor: str | None = None
    ) -> Marks:
        """Write marks at least as high as these, and return them.

        Raises:
            DiskError: the file could not be written; the marks are as they were.
        """
        old = self.read()
        part = old.active_part if active_part is None else active_part
        mode = old.monitor if monitor is None else monitor
        marks = Marks(max(old.seq, seq), max(old.plc_seq, plc_seq), part, mode)
        if marks != old:
            try:
                write_file(self.path, json.dumps(asdict(marks)).encode())
            except OSError as error:
                raise DiskError(f"{self.path}: {error.strerror}") from error
        return marks
