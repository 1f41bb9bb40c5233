"""A wall clock that is set while the real process runs: by somebody, and by daylight saving."""

import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shutil import which
from zoneinfo import ZoneInfo

import pytest
from brokers import until
from faults.rig import Rig, running

from edge_inspector.bundle import Bundle

Record = Callable[[str, object], None]
_DAY_S = 86_400
_BERLIN = ZoneInfo("Europe/Berlin")
_SHIFTS = '[[station.shift]]\nname = "night"\nstart = "12:00"\n[[station.shift]]\nname = "early"\nstart = "02:00"\n'
_BEFORE_S = 6


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of one process."""

    environment: dict[str, str]
    file: Path

    def shift(self, seconds: float) -> None:
        """Have it go wrong by so much from now on."""
        with self.file.open("rb+", buffering=0) as file:  # never shorter: the process looks at it all the time
            file.write(struct.pack("q", int(seconds * 1e9)))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """Give a clock that can be set."""
    compiler = which("gcc") or which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a clock that can be set")
    library, file = tmp_path / "clock.so", tmp_path / "clock"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    file.write_bytes(bytes(8))
    return Clock({"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}, file)


@pytest.mark.slow
@pytest.mark.fault("clock jumps forward and back, by an hour, a day and a year")
def test_the_clock_jumps(bundle: Bundle, clock: Clock, tmp_path: Path, record_property: Record) -> None:
    """Deadlines run on another clock: every part has its answer in time, in the order in which they came."""
    with running(tmp_path, bundle, environment=clock.environment) as line:
        line.begin("clock")
        line.send(4)
        for seconds in (3600, -3600, _DAY_S, -_DAY_S, 365 * _DAY_S, -365 * _DAY_S, 0):
            clock.shift(seconds)
            line.send(4)
            until(lambda: line.sent[-1] in line.scada.by_serial(), "the answer")
            assert abs(_age_s(line) + seconds) < 1800, "the smallest jump is an hour"

        results = line.account(record_property, line.recovered(time.monotonic()))
        assert [result["serial"] for result in results] == line.sent
        assert not any(result["replayed"] for result in results)
        assert line.plc.accepted


@pytest.mark.slow
@pytest.mark.fault("daylight saving begins or ends at the place of the PC")
@pytest.mark.parametrize("day", ["2027-03-28", "2027-10-31"], ids=["an hour missing", "an hour twice"])
def test_the_hour_changes(bundle: Bundle, clock: Clock, tmp_path: Path, record_property: Record, day: str) -> None:
    """A shift that turns in that hour turns once, and each part is counted in the one in which it was decided."""
    turn = datetime.fromisoformat(f"{day}T02:00").replace(tzinfo=_BERLIN).timestamp()
    clock.shift(turn - 60 - time.time())
    environment = {**clock.environment, "TZ": "Europe/Berlin"}
    with running(tmp_path, bundle, environment=environment, keys=_SHIFTS) as line:
        line.begin("dst")
        for moment in (turn, turn + 3600):  # in autumn it is two o'clock twice
            clock.shift(moment - _BEFORE_S - time.time())
            begun = time.monotonic()
            while time.monotonic() < begun + 2 * _BEFORE_S:
                line.send(4)
        until(lambda: line.scada.payloads("counters/shift/night"), "the counters of the night")

        results = line.account(record_property, line.recovered(time.monotonic()))
        before = [one for one in results if datetime.fromisoformat(one["decided_at"]).timestamp() < turn]
        assert 0 < len(before) < len(results)
        assert line.scada.last("counters/shift/night")["total"] == len(before)
        assert len(line.scada.payloads("counters/shift/night")) == 1
        assert line.scada.payloads("counters/shift/early") == []


def _age_s(line: Rig) -> float:
    """Return how long ago the newest result was decided, by our clock."""
    decided = line.scada.results[-1]["decided_at"]
    return time.time() - datetime.fromisoformat(decided).timestamp()
