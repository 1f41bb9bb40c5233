"""The PLC program that we hand out, executed: it accepts exactly what `tests/plc.py` accepts."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
from plc import Plc

PROGRAM = Path(__file__).parents[1] / "edge_inspector" / "wire" / "edge_inspector.st"
OPERATORS = {"AND": "and", "OR": "or", "NOT": "not", "MOD": "%", "TRUE": "True", "FALSE": "False"}
FUNCTIONS = {
    "FIND": lambda text, wanted: text.find(wanted) + 1,
    "LEFT": lambda text, length: text[: max(0, length)],
    "MID": lambda text, length, position: text[position - 1 : position - 1 + length],
    "DELETE": lambda text, length, position: text[: position - 1] + text[position - 1 + length :],
    "STRING_TO_DINT": lambda text: int(text) if text.lstrip("-").isdigit() else 0,
    "STRING_TO_INT": lambda text: int(text) if text.lstrip("-").isdigit() else 0,
    "SEL": lambda chosen, no, yes: yes if chosen else no,
}
SIMPLE = {"BOOL": False, "UINT": 0, "INT": 0, "DINT": 0, "STRING": ""}
STEP = re.compile(
    r"\s*(?:IF\b(?P<if>.*?)\bTHEN\b|ELSIF\b(?P<elsif>.*?)\bTHEN\b|(?P<end>END_IF)\s*;|(?P<statement>(?:'[^']*'|[^;'])+);)",
    re.DOTALL,
)


class RTrig:
    """A rising edge."""

    Q, _before = False, False

    def __call__(self, _now: float, *, CLK: bool) -> None:  # noqa: N803 - IEC 61131-3's names
        """Be called once a scan."""
        self.Q, self._before = CLK and not self._before, CLK


class Ton:
    """On after its input has been on for PT."""

    Q, _since = False, 0.0

    def __call__(self, now: float, *, IN: bool, PT: float) -> None:  # noqa: N803
        """Be called once a scan."""
        self._since = self._since if IN else now
        self.Q = IN and now - self._since >= PT


class Tof:
    """On while its input is on, and for PT after it."""

    Q, _last = False, -1e9

    def __call__(self, now: float, *, IN: bool, PT: float) -> None:  # noqa: N803
        """Be called once a scan."""
        self._last = now if IN else self._last
        self.Q = IN or now - self._last < PT


BLOCKS = {"R_TRIG": RTrig, "TON": Ton, "TOF": Tof}


def expression(text: str) -> str:
    """Return an expression of Structured Text in Python."""
    text = re.sub(r"T#(\d+)s", r"\1", text).replace("<>", "!=")
    text = re.sub(r"(?<![<>!:=])=(?!=)", "==", text).replace(":=", "=")
    name = r"(?<![.'\w])[A-Za-z_]\w*(?!\w)"

    def known(found: re.Match[str]) -> str:
        word = found.group()
        return OPERATORS.get(word) or (word if word in (*FUNCTIONS, "IN", "PT", "CLK") else f"v.{word}")

    return re.sub(name, known, text.strip())


def translate(body: str) -> Iterator[str]:
    """Yield the program in Python, line by line."""
    depth, at = 0, 0
    while step := STEP.match(body, at):
        at = step.end()
        if step["if"] is not None:
            yield f"{'  ' * depth}if {expression(step['if'])}:"
            depth += 1
        elif step["elsif"] is not None:
            yield f"{'  ' * (depth - 1)}elif {expression(step['elsif'])}:"
        elif step["end"]:
            depth -= 1
        else:
            statement = step["statement"].strip()
            called = re.sub(r"^(\w+)\(", r"\1(Now, ", statement)
            yield f"{'  ' * depth}{expression(called)}"
    assert not body[at:].strip(), body[at:]


class Program:
    """The function block, one call a scan."""

    def __init__(self) -> None:
        text = PROGRAM.read_text()
        self.lines = len(text.strip().splitlines())
        text = re.sub(r"\(\*.*?\*\)", "", text, flags=re.DOTALL)
        declared = "".join(re.findall(r"\bVAR(?:_INPUT|_OUTPUT| RETAIN)?\b(.*?)END_VAR", text, re.DOTALL))
        self.v: Any = SimpleNamespace(Now=0.0)
        for names, kind in re.findall(r"([\w, ]+?)\s*:\s*(\w+)(?:\(\d+\))?;", declared):
            for name in names.split(","):
                setattr(self.v, name.strip(), BLOCKS[kind]() if kind in BLOCKS else SIMPLE[kind])
        body = text[text.rindex("END_VAR") + len("END_VAR") : text.index("END_FUNCTION_BLOCK")]
        self._code: CodeType = compile("\n".join(translate(body)), PROGRAM.name, "exec")

    def scan(self, now: float, **inputs: object) -> None:
        """Run once, as the controller does every few milliseconds."""
        self.v.Now = now
        for name, value in inputs.items():
            setattr(self.v, name, value)
        exec(self._code, {**FUNCTIONS, "v": self.v})  # noqa: S102 - our own program


class Line:
    """The program and the tests' PLC on the same wire."""

    def __init__(self) -> None:
        self.program, self.plc = Program(), Plc()
        self.accepted: list[str] = []
        self.rejected = 0
        self._now, self._beat = 100.0, 0
        self.connect()

    def connect(self) -> None:
        """Lose the connection and have it back, with two heartbeats, ready and a first word."""
        self.plc.lose()
        self._scan(Connected=False, Ready=False)
        self._scan(Connected=True)
        self.beat()
        self.beat()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._scan()

    def beat(self) -> None:
        """Hear a heartbeat."""
        self._beat = (self._beat + 1) % 65536
        self.plc.hear("plc/heartbeat", b"%d" % self._beat, self._now)
        self._scan(Beat=self._beat)

    def ready(self, value: int) -> None:
        """Hear whether the station is ready."""
        self.plc.hear("plc/ready", b"%d" % value, self._now)
        self._scan(Ready=bool(value))

    def part(self) -> int:
        """Have a part in front of the camera and return its trigger."""
        self._scan(PartHere=True)
        trigger = int(self.program.v.Trigger)
        self.plc.expect(self._now, trigger_id=str(trigger))
        self._scan(PartHere=False)
        return trigger

    def word(self, seq: int, trigger: object, code: int, *, after: float = 0.0) -> None:
        """Hear a word; `after` is how long the controller was busy with something else."""
        self._now += after
        word = f"{seq};{trigger};{code};0;0;0.310;S1"
        self.plc.hear("plc/word", word.encode(), self._now)
        self._scan(Word=word, News=True)
        self._scan(News=False)

    def _scan(self, **inputs: object) -> None:
        self.program.scan(self._now, **inputs)
        if self.program.v.Accept:
            self.accepted.append(str(self.program.v.Trigger))
        self.rejected += self.program.v.Reject


def test_a_good_part_is_accepted() -> None:
    """Ready, alive, its own number, code 1, in time; and the program is as short as promised."""
    line = Line()
    line.ready(1)
    line.word(1, "", 0)
    trigger = line.part()
    line.word(2, trigger, 0)
    line.word(3, trigger, 1)

    assert line.accepted == [str(trigger)] == line.plc.accepted
    assert line.rejected == 0
    assert line.program.lines <= 40


def test_silence_rejects() -> None:
    """Nobody answers: the program's own timer does."""
    line = Line()
    line.ready(1)
    line.word(1, "", 0)
    line.part()
    line.wait(1.9)
    assert line.rejected == 0
    line.wait(0.2)

    assert (line.accepted, line.rejected) == ([], 1)


@pytest.mark.parametrize("seed", range(200))
def test_it_accepts_what_the_tests_plc_accepts(seed: int) -> None:
    """Whatever comes, in whatever order: the two never differ."""
    rng = random.Random(seed)  # noqa: S311 - a test's chance
    line, seq, trigger = Line(), rng.choice([1, 2**30, 2_147_483_640]), 0
    line.ready(1)
    line.word(seq, "", 0)
    for _ in range(60):
        match rng.choices(
            ("wait", "beat", "part", "answer", "old", "other", "ready", "connect"), (4, 6, 6, 8, 1, 1, 1, 1)
        )[0]:
            case "wait":
                line.wait(rng.choice([0.0307, 0.407, 1.1037]))
            case "beat":
                line.beat()
            case "part":
                trigger = line.part()
            case "answer":
                seq = (seq + rng.choice([1, 1, 1, 1000]) - 1) % 2_147_483_647 + 1
                line.word(seq, trigger, rng.choice([0, 1, 1, 1, 2, 3, 5]), after=rng.choice([0, 0.0507, 0.9037]))
            case "old":
                line.word(max(1, seq - rng.choice([0, 1, 1000])), trigger, 1)
            case "other":
                seq = seq % 2_147_483_647 + 1
                line.word(seq, rng.choice(["", "cmd/5", trigger + 1]), 1)
            case "ready":
                line.ready(rng.choice([0, 1, 1]))
            case "connect":
                line.connect()
                line.ready(1)

    assert line.accepted == line.plc.accepted
