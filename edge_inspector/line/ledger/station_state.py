"""What a station must remember: the active part, monitor mode, challenge parts, PLC numbers."""

from edge_inspector.line.ledger.challenge import Challenged
from edge_inspector.line.ledger.connection import Connection, with_reserve
from edge_inspector.line.ledger.monitor import Monitor, parse_monitor

_PLC_BLOCK = 1000
"""PLC sequence numbers reserved at once: one commit in a thousand words, and never the same number twice."""


class StationState:
    """Single values, each changed in a commit of its own; some of them outlive the ledger, too."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def active_part(self) -> str:
        """Return the part that was active last; empty at the first start."""
        return self._db.meta("active_part")

    @with_reserve
    def set_active_part(self, part: str) -> None:
        """Commit a changeover."""
        with self._db.commit():
            self._db.set_meta("active_part", part)
            self._db.high_water.rise(active_part=part)

    def monitor(self) -> Monitor:
        """Return monitor mode as it was last set, also when it is over."""
        return parse_monitor(self._db.meta("monitor"))

    @with_reserve
    def set_monitor(self, monitor: Monitor) -> None:
        """Commit monitor mode; it outlives the ledger, too."""
        with self._db.commit():
            self._db.set_meta("monitor", monitor.encode())
            self._db.high_water.rise(monitor=monitor.encode())

    def challenged(self, part: str) -> Challenged:
        """Return how a part's last challenges came out."""
        row = self._db.one("SELECT passed_ns, failed FROM challenged WHERE part = ?", part)
        return Challenged() if row is None else Challenged(int(row[0]), str(row[1]))

    def announced_challenge(self) -> str:
        """Return who said that the next part is a challenge; empty when nobody did."""
        return self._db.meta("challenge_announced")

    @with_reserve
    def announce_challenge(self, by: str) -> None:
        """Commit that the next part is a challenge, or with an empty name that it is not."""
        with self._db.commit():
            self._db.set_meta("challenge_announced", by)

    @with_reserve
    def take_challenge(self, arrival_id: str) -> None:
        """Commit that an arrival is a challenge, and the announced one if one is; its answer will say so."""
        with self._db.commit():
            self.mark_challenge(arrival_id)

    def mark_challenge(self, arrival_id: str) -> None:
        """Note an arrival as the challenge that was announced; inside a commit."""
        self._db.execute("INSERT OR IGNORE INTO challenge VALUES(?)", (arrival_id,))
        self._db.set_meta("challenge_announced", "")

    @with_reserve
    def reserve_plc_numbers(self) -> int:
        """Return the first of a thousand PLC sequence numbers that no word has used, also after a power cut."""
        with self._db.commit():
            first = int(self._db.meta("plc_seq"))
            self._db.set_meta("plc_seq", str(first + _PLC_BLOCK))
            self._db.high_water.rise(plc_seq=first + _PLC_BLOCK)
        return first
