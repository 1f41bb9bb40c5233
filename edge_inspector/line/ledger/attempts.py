"""What waited or was being judged when the process ended: the next start answers it, or knows what killed it."""

import json
from dataclasses import asdict

from edge_inspector.inspection.model import Identity
from edge_inspector.line.ledger.connection import Connection, with_reserve


class Attempts:
    """The images that have no answer yet: those that only the memory holds, and those that are being judged."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    @with_reserve
    def note_waiting(self, identity: Identity) -> None:
        """Note an image that only the memory holds: if the process dies now, the next start answers it.

        Not synced, as `begin`.
        """
        with self._db.unsynced(), self._db.commit():
            row = (identity.id, json.dumps(asdict(identity), ensure_ascii=False))
            self._db.execute("INSERT OR REPLACE INTO attempt(id, begun, identity) VALUES(?, 0, ?)", row)

    def waiting(self) -> tuple[Identity, ...]:
        """Return the images that the memory held when the process ended, oldest first; they are gone."""
        rows = self._db.rows("SELECT identity FROM attempt WHERE identity <> '' ORDER BY rowid")
        return tuple(Identity(**json.loads(row[0])) for row in rows)

    @with_reserve
    def begin(self, arrival_id: str) -> None:
        """Note that a part is about to be judged: if the process dies now, the next start knows which image it was.

        Not synced: it must outlive the process, not the power, and after a power cut the image is judged again.
        """
        with self._db.unsynced(), self._db.commit():
            self._db.execute(
                "INSERT INTO attempt(id, begun) VALUES(?, 1) ON CONFLICT(id) DO UPDATE SET begun = 1", (arrival_id,)
            )

    def begun(self) -> frozenset[str]:
        """Return the parts that were being judged when the process ended."""
        return frozenset(row[0] for row in self._db.rows("SELECT id FROM attempt WHERE begun"))
