"""The one line that a PLC acts on: atomic, at most 128 bytes, no JSON."""

import re
from dataclasses import dataclass

from edge_inspector.inspection.model import Verdict

SEQ_MAX = 2_147_483_647
TRIGGER_MAX = 2_147_483_647
_MAX_BYTES = 128
_CODES = {Verdict.OK: 1, Verdict.NG: 2, Verdict.REVIEW: 3, Verdict.INVALID: 4, Verdict.ERROR: 5}


@dataclass(frozen=True, slots=True)
class PlcWord:
    """`seq;trigger_id;code;error;defects;score;serial`."""

    seq: int
    trigger_id: str
    code: int
    """0 none or busy, 1 OK, 2 NG, 3 REVIEW, 4 INVALID, 5 ERROR."""
    error: int
    """The reason's number where there is no judgement of the part, else 0."""
    defects: int
    score: float
    serial: str

    def encode(self) -> bytes:
        """Return the line; `;` and control characters of outside names become `_`, the serial is cut to fit."""
        head = f"{self.seq};{_clean(self.trigger_id)[:10]};{self.code};{self.error};{self.defects};{self.score:.3f};"
        line = (head + _clean(self.serial)).encode()[:_MAX_BYTES]
        return line.decode(errors="ignore").encode()


def busy_word(seq: int, trigger_id: str = "") -> PlcWord:
    """Return the word that takes any earlier answer away: nothing to accept."""
    return PlcWord(seq, trigger_id, 0, 0, 0, 0.0, "")


def answer_word(
    seq: int, trigger_id: str, verdict: Verdict, reason_code: int, defects: int, score: float | None, serial: str
) -> PlcWord:
    """Return the word of a judged part."""
    code = _CODES[verdict]
    return PlcWord(
        seq=seq,
        trigger_id=trigger_id,
        code=code,
        error=reason_code if verdict in (Verdict.INVALID, Verdict.ERROR) else 0,
        defects=defects,
        score=min(score or 0.0, 999_999.0),
        serial=serial,
    )


def next_seq(seq: int) -> int:
    """Return the sequence number after `seq`: 1 to 2147483647, then 1 again, never 0."""
    return seq % SEQ_MAX + 1


def _clean(text: str) -> str:
    return re.sub(r"[;\x00-\x1f\x7f]", "_", text)
