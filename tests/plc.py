"""The PLC of MQTT.md as a state machine: what a factory's controller makes of `plc/...`, counted."""

from dataclasses import dataclass

MODULUS = 2_147_483_647
NEWER = 2**30
BEAT_S = 3.0
OK = 1


@dataclass(frozen=True, slots=True)
class Word:
    """`seq;trigger_id;code;error;defects;score;serial`."""

    seq: int
    trigger_id: str
    code: int
    serial: str
    error: int


def parse_word(payload: bytes) -> Word:
    """Return the word's fields that decide."""
    seq, trigger_id, code, error, _defects, _score, serial = payload.decode().split(";", 6)
    return Word(int(seq), trigger_id, int(code), serial, int(error))


def is_newer(new: int, last: int) -> bool:
    """Say whether a sequence number comes after another; they wrap."""
    return 1 <= (new - last) % MODULUS <= NEWER


@dataclass(frozen=True, slots=True)
class _Part:
    trigger_id: str
    serial: str
    since: float


class Plc:
    """Lets a part pass only if everything speaks for it; silence, doubt and age reject. Time is given, in seconds."""

    def __init__(self, timer_s: float = 2.0) -> None:
        self.accepted: list[str] = []
        """Trigger ids, or serials where nothing triggers."""
        self._timer_s = timer_s
        self._part: _Part | None = None
        self.lose()

    def lose(self) -> None:
        """Forget everything that was heard: the connection to the broker is gone."""
        self._ready = False
        self._last: int | None = None
        self._beat: bytes | None = None
        self._changed: float | None = None

    def expect(self, now: float, *, trigger_id: str = "", serial: str = "") -> None:
        """Have the next part in front of the camera; one that was not accepted before is rejected now."""
        self._part = _Part(trigger_id, serial, now)

    def hear(self, topic: str, payload: bytes, now: float) -> None:
        """Take a message in."""
        if topic == "plc/ready":
            self._ready = payload == b"1"
        elif topic == "plc/heartbeat":
            if self._beat is not None and payload != self._beat:
                self._changed = now
            self._beat = payload
        elif topic == "plc/word":
            self._read(parse_word(payload), now)

    def _read(self, word: Word, now: float) -> None:
        first, last = self._last is None, self._last or 0
        if not first and not is_newer(word.seq, last):
            return
        self._last = word.seq
        part = self._part
        if first or part is None or not self._is_mine(word, part) or word.code == 0:
            return
        self._part = None
        alive = self._changed is not None and now - self._changed <= BEAT_S
        if self._ready and alive and word.code == OK and now - part.since <= self._timer_s:
            self.accepted.append(part.trigger_id or part.serial)

    def _is_mine(self, word: Word, part: _Part) -> bool:
        if part.trigger_id:
            return word.trigger_id == part.trigger_id
        return word.serial == part.serial
