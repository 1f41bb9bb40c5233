"""Everything round the daemon: parts and the camera before them, SCADA, the PLC; and what must hold at each step."""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from factories import a_blob, a_decision, a_part, a_placement, a_recipe, jpeg
from numpy.typing import NDArray
from plc import Plc, is_newer, parse_word
from simulation.network import Broker
from simulation.operator import Operator
from simulation.scheduler import Scheduler

from edge_inspector.inspection.decide import decide
from edge_inspector.inspection.inspector import Evidence, Inspection
from edge_inspector.inspection.model import Image
from edge_inspector.inspection.preprocess import decode

BASE = "edge-inspector/v1/st1"
KINDS = ("good", "bad", "killer", "slow")
_SHARES = (0.62, 0.3, 0.02, 0.06)
_EXCUSED = {"good": {203, 204, 205, 208}, "slow": {203, 204, 205, 208}, "killer": {203, 204, 205, 208}}
"""By kind of part: the ERRORs that it may get although nothing is wrong with it."""
_CHALLENGES = 100_000
"""Numbers of challenge parts begin here."""
_BLIND_SHARE = 0.15
"""So many challenge parts look good: a detector that has gone blind."""


class BrokenPromiseError(AssertionError):
    """What must hold at every step did not."""


def must(holds: object, what: str) -> None:
    """Say which promise was broken.

    Raises:
        BrokenPromiseError: this one.
    """
    if not holds:
        raise BrokenPromiseError(what)


@dataclass(frozen=True, slots=True)
class Line:
    """A ledger line as it was committed."""

    n: int
    topic: str
    seq: int | None
    id: str
    payload: str
    recorded_ns: int


_LINES = "SELECT n, topic, seq, id, payload, recorded_ns FROM entry WHERE n > ? ORDER BY n"


@dataclass
class Cell:
    """The line, and all that was ever seen of the daemon."""

    scheduler: Scheduler
    ledger: Path
    triggered: bool
    operator: Operator
    plc: Plc = field(default_factory=Plc)
    kinds: dict[str, str] = field(default_factory=dict)
    """By serial or trigger number."""
    challenges: dict[str, bool] = field(default_factory=dict)
    """The parts that were passed as challenges, by name; whether one was marked by its serial."""
    strays: int = 0
    """Other parts that were taken for the announced one: whoever announced it heard of no answer, or it came late."""
    front: str = "good"
    """What is before the camera."""
    lines: dict[int, Line] = field(default_factory=dict)
    answers: dict[str, Line] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    """What SCADA has, by id."""
    delivered_lines: int = 0
    duplicates: int = 0
    damaged: int = 0
    """Frames that the camera sent damaged."""
    told: set[str] = field(default_factory=set)
    """Ids that somebody outside was told of."""
    last_n: int = 0
    last_seq: int = 0
    promised: set[str] = field(default_factory=set)
    """Triggers of which the PLC was told that their image is being taken."""
    cursor: int = 0
    words: int = 0
    plc_hears: bool = True
    _last_word: int | None = None
    _reached_ns: int = 0
    _accepts: int = 0
    _ready: bytes = b""
    """As it was said last."""
    _answered: set[str] = field(default_factory=set)
    """Serials or trigger numbers of which SCADA has the result."""
    _ok: set[str] = field(default_factory=set)
    """Serials or trigger numbers of the parts that were judged OK."""

    # What the camera and the PLC do

    def next_part(self, number: int, broker: Broker, inbox: Path) -> None:
        """Have the next part come, as a file or as a trigger, unless the operator holds the line for now."""
        if self.operator.held:
            self.scheduler.after(0.3, lambda: self.next_part(number, broker, inbox))
            return
        kind = self.scheduler.rng.choices(KINDS, _SHARES)[0]
        self._pass(str(number) if self.triggered else f"p{number:05d}", kind, broker, inbox)

    def next_challenge(self, broker: Broker, inbox: Path) -> None:
        """Have a challenge part come: marked by its serial like any other part, or announced."""
        if self.operator.held:
            return
        rng = self.scheduler.rng
        kind = "good" if rng.random() < _BLIND_SHARE else "bad"
        marked = not self.triggered and rng.random() < 0.5
        number = _CHALLENGES + len(self.challenges)
        name = f"K{number}" if marked else str(number) if self.triggered else f"c{number}"

        def pass_it() -> str:
            self.challenges[name] = marked
            self._pass(name, kind, broker, inbox)
            return name

        if marked:
            pass_it()
        else:
            self.operator.challenge(lambda: not self.missing(), pass_it, lambda sent: sent in self._answered)

    def _pass(self, name: str, kind: str, broker: Broker, inbox: Path) -> None:
        rng = self.scheduler.rng
        self.kinds[name] = self.front = kind
        now = self.scheduler.now / 1e9
        if not self.triggered:
            self.plc.expect(now, serial=name)
            _drop(inbox, f"{name}.png", kind, self.scheduler.wall())
            return
        self.plc.expect(now, trigger_id=name)
        for wait in (0.0, rng.uniform(0, 0.4))[: 1 + (rng.random() < 0.2)]:
            if self.plc_hears and broker.up:
                self.scheduler.after(wait, lambda: broker.send(f"{BASE}/plc/cmd/trigger", name.encode()))

    def lose_plc(self, broker: Broker, seconds: float) -> None:
        """Break the PLC's connection; it comes again and hears first what is retained."""
        self.plc_hears = False
        self.plc.lose()
        self.scheduler.after(seconds, lambda: self._plc_is_back(broker))

    def _plc_is_back(self, broker: Broker) -> None:
        if not broker.up:
            self.scheduler.after(0.5, lambda: self._plc_is_back(broker))
            return
        self.plc_hears = True
        for topic, payload in broker.retained.items():
            self._bring(topic, payload)

    # What is heard

    def hear(self, topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001
        """Take what the broker took."""
        leaf = topic.removeprefix(f"{BASE}/")
        if leaf in ("result", "last/result"):
            self._hear_result(payload.decode(), counts=leaf == "result")
        if leaf == "event":
            self.delivered_lines += 1
        if leaf == "ack":
            self.operator.hear_ack(payload)
        if leaf == "plc/word":
            self._hear_word(payload)
        if leaf == "plc/ready":
            self._ready = payload
        if leaf == "plc/heartbeat" and self.operator.withheld_long():
            must(self._ready == b"0", "ready, although nobody may act on verdicts")
        if leaf.startswith("plc/") and self.plc_hears:
            self._bring(topic, payload)
            if self.scheduler.rng.random() < 0.02:
                self._bring(topic, payload)

    def _hear_result(self, text: str, *, counts: bool) -> None:
        result = json.loads(text)
        known = self.answers.get(result["id"])
        must(known is not None, f"result {result['id']} is published but not committed")
        must(known and known.payload == text, f"result {result['id']} is published otherwise than committed")
        self.told.add(result["id"])
        if counts:
            self.duplicates += result["id"] in self.delivered
            self.delivered[result["id"]] = text
            self._answered.add(self._name_of(result))

    def _hear_word(self, payload: bytes) -> None:
        word = parse_word(payload)
        last, self._last_word = self._last_word, word.seq
        must(last is None or is_newer(word.seq, last), f"PLC word {word.seq} comes after {last}")
        self.words += 1
        if word.trigger_id and word.code == 0:
            self.promised.add(word.trigger_id)

    def _bring(self, topic: str, payload: bytes) -> None:
        """Bring a message to the PLC, in order, a little later."""
        scheduler = self.scheduler
        self._reached_ns = max(self._reached_ns, scheduler.now + scheduler.rng.randrange(5_000_000))
        leaf = topic.removeprefix(f"{BASE}/")
        scheduler.at(self._reached_ns, lambda: self._plc_hears(leaf, payload))

    def _plc_hears(self, leaf: str, payload: bytes) -> None:
        if not self.plc_hears:
            return
        self.plc.hear(leaf, payload, self.scheduler.now / 1e9)
        for name in self.plc.accepted[self._accepts :]:
            self._accepts += 1
            self._check_accept(name)

    def _check_accept(self, name: str) -> None:
        must(self.kinds[name] != "bad", f"the PLC let the bad part {name} pass")
        must(name in self._ok, f"the PLC let {name} pass that was not judged OK")
        must(self.plc.accepted.count(name) == 1, f"the PLC let {name} pass twice")
        must(name not in self.challenges, f"the PLC let the challenge part {name} pass")
        must(not self.operator.withheld_long(), f"the PLC let {name} pass although nobody may act on verdicts")

    # What is on the disk

    def committed(self, connection: sqlite3.Connection) -> None:
        """Look at what a commit changed."""
        plain = sqlite3.Connection.execute
        for row in plain(connection, _LINES, (self.last_n,)):
            self._add(Line(*row))
        cursor = int(plain(connection, "SELECT value FROM meta WHERE key = 'cursor'").fetchone()[0])
        for n in range(self.cursor + 1, cursor + 1):
            line = self.lines[n]
            has = line.topic != "result" or line.id in self.delivered
            must(has, f"the cursor passed {n}, which the broker has not")
        must(cursor >= self.cursor, f"the cursor went back from {self.cursor} to {cursor}")
        self.cursor = cursor

    def _add(self, line: Line) -> None:
        self.lines[line.n] = line
        self.last_n = line.n
        if line.topic != "result":
            return
        must(line.id not in self.answers, f"part {line.id} was answered twice")
        must(line.seq == self.last_seq + 1, f"after result {self.last_seq} comes {line.seq}")
        self.last_seq = line.seq or 0
        self.answers[line.id] = line
        result = json.loads(line.payload)
        if result["accept"]:
            self._ok.add(self._name_of(result))
        if self.operator.is_monitored():
            must(result["monitored"], f"{line.id} was judged in monitor mode and is not marked")
        self._add_challenge(line, result)

    def _add_challenge(self, line: Line, result: dict[str, Any]) -> None:
        """Look at a challenge, and at what was taken for one."""
        name = self._name_of(result)
        if result["challenge"]:
            self.operator.note(result, line.recorded_ns)
            self.operator.announced = False
            self.strays += name not in self.challenges
            return
        must(not self.challenges.get(name), f"the marked challenge part {name} counts as production")
        announced = name in self.challenges and self.operator.announced and not result["replayed"]
        must(not announced, f"the announced challenge part {name} counts as production")

    def _name_of(self, result: dict[str, Any]) -> str:
        return str(result["trigger_id"] if self.triggered else result["serial"])

    def let_go(self, arrival_id: str) -> None:
        """An image is about to be put away."""
        must(arrival_id in self.answers, f"the image of {arrival_id} is put away before it was answered")
        self.told.add(arrival_id)

    def after_power_cut(self) -> None:
        """What anybody was told of must still be there; what nobody knows of may be gone."""
        with sqlite3.connect(self.ledger) as connection:
            rows = connection.execute(_LINES, (0,)).fetchall()
            cursor = int(connection.execute("SELECT value FROM meta WHERE key = 'cursor'").fetchone()[0])
        connection.close()
        found = [Line(*row) for row in rows]
        self.lines = {line.n: line for line in found}
        answers = {line.id: line for line in found if line.topic == "result"}
        for arrival_id in self.told:
            must(arrival_id in answers, f"the answer to {arrival_id} was told and is lost")
            must(answers[arrival_id] == self.answers[arrival_id], f"the answer to {arrival_id} has changed")
        self.answers = answers
        self.operator.forget()
        for line in answers.values():
            if (result := json.loads(line.payload))["challenge"]:
                self.operator.note(result, line.recorded_ns)
        self.operator.look()
        self.cursor = cursor
        self.last_n = max(self.lines, default=0)
        self.last_seq = max((line.seq or 0 for line in answers.values()), default=0)

    # At the end

    def missing(self) -> list[str]:
        """Return the parts that have no delivered result yet."""
        if not self.triggered:
            return sorted(self.kinds.keys() - self._answered)
        with sqlite3.connect(self.ledger) as connection:
            owed = {row[0] for row in connection.execute("SELECT id FROM accepted_trigger")}
        connection.close()
        return sorted(owed - self.delivered.keys())

    def check_end(self, inbox: Path) -> None:
        """Everything is settled: one answer for each part, the right one, counted once, delivered."""
        results = [json.loads(line.payload) for line in self.answers.values()]
        names = [self._name_of(result) for result in results]
        must(len(names) == len(set(names)), f"answered twice: {sorted({n for n in names if names.count(n) > 1})}")
        must(self.promised <= set(names), f"promised and never answered: {sorted(self.promised - set(names))}")
        must(self.answers.keys() == self.delivered.keys(), "SCADA has other results than the ledger")
        for name, result in zip(names, results, strict=True):
            self._check_verdict(name, result)
        with sqlite3.connect(self.ledger) as connection:
            counted = dict(connection.execute("SELECT verdict, sum(parts) FROM tally GROUP BY verdict").fetchall())
            attempts = connection.execute("SELECT count(*) FROM attempt").fetchone()[0]
        connection.close()
        as_what = dict(Counter(_counted_as(result) for result in results))
        must(counted == as_what, f"the results are {as_what}, counted are {counted}")
        must(self.strays <= self.operator.announcements, f"{self.strays} parts were taken for challenges")
        must(attempts == 0, "an attempt is open although everything is answered")
        left = [name for folder in (inbox, inbox / ".claimed") if folder.is_dir() for name in os.listdir(folder)]  # noqa: PTH208
        must([n for n in left if not n.startswith(".")] == [], f"images are left: {left}")

    def _check_verdict(self, name: str, result: dict[str, Any]) -> None:
        kind, verdict, code = self.kinds[name], result["verdict"], result["reason_code"]
        accepts = verdict == "OK" and not (result["challenge"] or result["monitored"])
        must(result["accept"] == accepts, f"{name}: accept {result['accept']} with {verdict}")
        if kind == "bad" and not self.triggered:
            must(verdict != "OK", f"the bad part {name} is OK")
        if verdict == "ERROR":
            must(code in _EXCUSED.get(kind, _EXCUSED["good"]), f"{name}, {kind}, is ERROR {code}: {result['reason']}")
        if kind == "killer" and not self.triggered:
            must(code in (203, 208), f"{name} killed the program and got {verdict} {code}")


def _counted_as(result: dict[str, Any]) -> str:
    """Return what a result counts as; a challenge never as production."""
    return "challenge" if result["challenge"] else "monitored" if result["monitored"] else str(result["verdict"])


def _drop(inbox: Path, name: str, kind: str, mtime_ns: int) -> None:
    part = inbox.with_name(f"{name}.part")
    part.write_bytes(kind.encode())
    os.utime(part, ns=(mtime_ns, mtime_ns))
    os.rename(part, inbox / name)  # noqa: PTH104


class SimInspector:
    """Says what the image says; takes its time, hangs, or kills the process."""

    recipe = a_recipe()

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def inspect(self, image: bytes | Image) -> Inspection:
        """Judge."""
        kind = image.decode() if isinstance(image, bytes) else _shown_by(image)
        rng = self._scheduler.rng
        self._scheduler.sleep(rng.uniform(1.5, 4.0) if kind == "slow" else rng.uniform(0.005, 0.04))
        if kind == "killer":
            process = self._scheduler.current().process
            process.crash_in = 0
            process.crash_point()
        level, blobs = (1.0, (a_blob(),)) if kind == "bad" else (0.5, ())
        return Inspection(decide(level, blobs, a_decision()), _EVIDENCE, ())


_PIXELS = np.zeros((8, 8, 3), np.uint8)
_EVIDENCE = Evidence(_PIXELS, _PIXELS, np.zeros((1,), np.float32), np.zeros((8, 8), np.float32), a_placement(8, 8))


_DAMAGED_SHARE = 0.05
_SENT = {kind: a_part(number, width=48, height=32) for number, kind in enumerate(KINDS)}
_FRAMES = {kind: jpeg(image) for kind, image in _SENT.items()}
"""What the camera sends of each kind of part."""
_SOUND = {kind: decode(frame, 3) for kind, frame in _FRAMES.items()}
_DAMAGES: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: data[: len(data) // 2],
    lambda data: data[:-120] + data[-40:],
    lambda data: data[:-2],
)


def _shown_by(image: Image) -> str:
    """Return the kind of part that a frame shows; a damaged one must never come so far."""
    kinds = [kind for kind, sound in _SOUND.items() if np.array_equal(sound, image)]
    must(kinds, "a damaged frame is judged")
    return kinds[0]


def camera_of(cell: Cell) -> type:
    """Return what stands in for `cv2.VideoCapture`: a camera that shows what is before it."""

    class VideoCapture:
        def open(self, *_: object) -> bool:
            return True

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def getBackendName(self) -> str:  # noqa: N802
            return "V4L2"

        def get(self, what: int) -> float:
            return float(cv2.VideoWriter.fourcc(*"MJPG")) if what == cv2.CAP_PROP_FOURCC else 0.0

        def set(self, *_: object) -> bool:
            return True

        def grab(self) -> bool:
            cell.scheduler.sleep(0.05)
            return True

        def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
            data = _FRAMES[cell.front]
            if cell.scheduler.rng.random() < _DAMAGED_SHARE:
                cell.damaged += 1
                data = cell.scheduler.rng.choice(_DAMAGES)(data)
            return True, np.frombuffer(data, np.uint8)[None]

        def release(self) -> None:
            pass

    return VideoCapture
