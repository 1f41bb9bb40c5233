"""`make undo`: takes each critical line back, in a copy of the tree, and shows which test notices.

A line that can be undone without a failing test is a promise that nobody watches. Each entry names the line as it
stands, what it is made, and the few tests that must fail; a line that is no longer found is an error, not a pass.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SIMULATION = "tests/simulation/test_simulation.py::test_no_story_breaks_a_promise"
_LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Line:
    """A critical line and who guards it."""

    name: str
    path: str
    """Below edge_inspector/."""
    stands: str
    """Exactly once in the file."""
    undone: str
    tests: tuple[str, ...]


LINES = (
    Line(
        "commit before done",
        "line/station/stage.py",
        "        identity = accepted.arrival.identity\n        while not self.worker.stopping():\n            try:\n",
        "        identity = accepted.arrival.identity\n        self._let_go(identity.id)\n"
        "        while not self.worker.stopping():\n            try:\n",
        ("tests/line/station/test_stage.py::test_the_image_is_let_go_only_after_the_commit",),
    ),
    Line(
        "commit before done, by simulation",
        "line/station/stage.py",
        "        identity = accepted.arrival.identity\n        while not self.worker.stopping():\n            try:\n",
        "        identity = accepted.arrival.identity\n        self._let_go(identity.id)\n"
        "        while not self.worker.stopping():\n            try:\n",
        (_SIMULATION,),
    ),
    Line(
        "cursor after PUBACK",
        "line/broker/publisher.py",
        "self._publisher.worker.monotonic_ns(), mids))",
        "self._publisher.worker.monotonic_ns(), set()))",
        ("tests/line/broker/test_publisher.py::test_the_cursor_waits_for_the_acknowledgement",),
    ),
    Line(
        "cursor after PUBACK, by simulation",
        "line/broker/publisher.py",
        "self._publisher.worker.monotonic_ns(), mids))",
        "self._publisher.worker.monotonic_ns(), set()))",
        (_SIMULATION,),
    ),
    Line(
        "level >= threshold is NG",
        "inspection/decide.py",
        "    if level < decision.threshold:\n",
        "    if level <= decision.threshold:\n",
        ("tests/inspection/test_decide.py",),
    ),
    Line(
        "level >= lowest limit is not OK",
        "inspection/decide.py",
        "    if level < decision.lowest:\n",
        "    if level <= decision.lowest:\n",
        ("tests/inspection/test_decide.py",),
    ),
    Line(
        "a blob is map >= limit",
        "inspection/blobs.py",
        "    mask = (amap >= np.float32(decision.lowest))",
        "    mask = (amap > np.float32(decision.lowest))",
        ("tests/inspection/test_blobs.py",),
    ),
    Line(
        "NaN level is never OK",
        "inspection/decide.py",
        "    if not (math.isfinite(level) and math.isfinite(whole)):\n",
        "    if level == math.inf:\n",
        ("tests/inspection/test_decide.py",),
    ),
    Line(
        "NaN map is an ERROR",
        "inspection/inspector.py",
        "    if not (np.isfinite(amap).all() and math.isfinite(whole)):\n",
        "    if np.isinf(amap).all():\n",
        ("tests/inspection/test_inspector.py", "tests/line/station/test_stage.py"),
    ),
    Line(
        "an exception is an ERROR, not OK",
        "inspection/model.py",
        "EXCEPTION = 201, Verdict.ERROR,",
        "EXCEPTION = 201, Verdict.OK,",
        ("tests/test_architecture.py", "tests/line/station/test_stage.py"),
    ),
    Line(
        "only OK is accepted",
        "inspection/model.py",
        "is Verdict.OK",
        "is not Verdict.NG",
        ("tests/inspection", "tests/wire", "tests/line/station/test_stage.py"),
    ),
    Line(
        "ERROR has its own code for the PLC",
        "wire/plcword.py",
        "Verdict.ERROR: 5}",
        "Verdict.ERROR: 1}",
        ("tests/wire/test_plcword.py::test_only_ok_has_the_code_that_accepts",),
    ),
    Line(
        "synchronous FULL",
        "line/ledger/ledger.py",
        '        connection.execute("PRAGMA synchronous=FULL")\n',
        '        connection.execute("PRAGMA synchronous=OFF")\n',
        ("tests/line/ledger/test_ledger.py",),
    ),
    Line(
        "synchronous FULL again after an attempt",
        "line/ledger/connection.py",
        '            self._connection.execute("PRAGMA synchronous=FULL")\n',
        '            self._connection.execute("PRAGMA synchronous=NORMAL")\n',
        ("tests/line/ledger/test_ledger.py",),
    ),
    Line(
        "the claim is a rename",
        "line/sources/claims.py",
        "        (self.inbox / name).rename(path)\n",
        "        path.hardlink_to(self.inbox / name)\n",
        ("tests/line/sources/test_folder.py::test_a_moved_in_image_is_claimed_at_once",),
    ),
    Line(
        "what was claimed is judged at the next start",
        "line/sources/folder.py",
        "            yield from self._left_over(ledger)\n",
        "",
        ("tests/line/sources/test_folder.py::test_what_was_claimed_is_judged_at_the_next_start", _SIMULATION),
    ),
    Line(
        "the will of plc/ready",
        "line/station/connections.py",
        '        will = Will(f"{self._base}/plc/ready", "0")\n',
        "        will = None\n",
        ("tests/line/station/test_daemon.py::test_killed_it_is_offline_and_not_ready",),
    ),
    Line(
        "the first answer stands",
        "line/ledger/results.py",
        '            if self._db.one("SELECT 1 FROM entry WHERE id = ?", result.id):\n',
        '            if self._db.execute("DELETE FROM entry WHERE id = ?", (result.id,)) is None:\n',
        ("tests/line/ledger/test_ledger.py::test_the_first_answer_stands",),
    ),
    Line(
        "an attempt is noted before the image is judged",
        "line/station/stage.py",
        "                    ledger.attempts.begin(identity.id)\n",
        "",
        ("tests/line/station/test_stage.py", _SIMULATION),
    ),
    Line(
        "a trigger is committed before the exposure",
        "line/sources/triggers.py",
        "        ledger.triggers.accept(trigger.id, trigger.trigger_id, trigger.part)\n",
        "",
        (_SIMULATION,),
    ),
    Line(
        "the same trigger is the same part",
        "line/sources/triggers.py",
        "        if repeated is not None:\n",
        "        if repeated is not None and not trigger_id:\n",
        (_SIMULATION,),
    ),
    Line(
        "an accepted trigger is the announced challenge",
        "line/ledger/trigger_log.py",
        "            if self._state.announced_challenge():\n                self._state.mark_challenge(arrival_id)\n",
        "",
        ("tests/line/ledger/test_challenge.py::test_a_trigger_is_the_announced_part_from_the_moment_it_is_accepted",),
    ),
    Line(
        "a retained PLC command is old",
        "line/broker/plc.py",
        "            if message.retained:\n",
        "            if message.retained and not text:\n",
        ("tests/line/sources/test_triggers.py::test_a_retained_trigger_is_ignored_and_reported",),
    ),
    Line(
        "PLC numbers are reserved on disk",
        "line/ledger/station_state.py",
        '            self._db.set_meta("plc_seq", str(first + _PLC_BLOCK))\n',
        "",
        ("tests/line/ledger/test_ledger.py::test_plc_numbers_never_repeat", _SIMULATION),
    ),
    Line(
        "only live answers reach the PLC",
        "line/broker/plc.py",
        "case Answered(live=True, result=result):",
        "case Answered(result=result):",
        ("tests/line/broker/test_plc.py::test_what_waited_before_the_start_is_not_for_the_plc",),
    ),
    Line(
        "what waited past its deadline is for the record",
        "line/station/stage.py",
        "replace(arrival.identity, replayed=True)",
        "replace(arrival.identity, replayed=False)",
        ("tests/line/station/test_stage.py::test_a_part_that_waited_too_long_is_for_the_record",),
    ),
    Line(
        "late is an ERROR at the deadline",
        "line/station/stage.py",
        "not (identity.replayed or identity.trigger_id) and identity.id in ledger.attempts.begun()",
        "not (identity.replayed or identity.trigger_id) and not identity.id",
        ("tests/line/station/test_stage.py::test_a_detector_that_hangs_is_late_and_its_answer_too_late",),
    ),
    Line(
        "every file of a bundle has its hash",
        "bundle.py",
        '            raise DataError(f"{file} is not what was accepted: sha256',
        '            str(f"{file} is not what was accepted: sha256',
        ("tests/test_bundle.py::test_one_changed_bit_in_any_file_refuses_the_bundle",),
    ),
    Line(
        "golden scores must come out again",
        "bundle.py",
        "abs(judgement.score - case.score) > SCORE_TOLERANCE",
        "abs(judgement.score - case.score) > 1000",
        ("tests/test_bundle.py::test_a_golden_image_that_comes_out_differently_refuses_the_bundle",),
    ),
    Line(
        "one daemon a state folder",
        "line/process.py",
        "            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        ("tests/line/station/test_daemon.py::test_a_second_daemon_on_the_same_state_folder_is_refused",),
    ),
)


def undo(line: Line, tree: Path) -> Path:
    """Take a line back in a tree and return the file.

    Raises:
        LookupError: the line is not there exactly once; this list must follow the code.
    """
    file = tree / "edge_inspector" / line.path
    text = file.read_text(encoding="utf-8")
    found = text.count(line.stands)
    if found != 1:
        raise LookupError(f"{line.name}: expected this once in {line.path}, found it {found} times:\n{line.stands}")
    file.write_text(text.replace(line.stands, line.undone), encoding="utf-8")
    return file


def failures(tests: tuple[str, ...], tree: Path, limit_s: float = _LIMIT_S) -> list[str]:
    """Return the tests that fail in a tree; one that hangs counts as failed, a tree that cannot be tested does not."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rf", "-p", "no:cacheprovider", "--no-header", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return [f"{tests[0]} (hung)"]
    if done.returncode not in (0, 1):
        raise LookupError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-1000:]}")
    return re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)


def main() -> int:
    """Undo all lines, one after the other; 1 when one survives."""
    parser = argparse.ArgumentParser(prog="undo", description=__doc__)
    parser.add_argument("--only", default="", help="lines whose name contains this")
    only = parser.parse_args().only
    lines = [line for line in LINES if only in line.name]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="edge-undo-") as folder:
        tree = _copy(Path(folder) / "tree")
        every = tuple(dict.fromkeys(test for line in lines for test in line.tests))
        broken = failures(every, tree, 6 * _LIMIT_S)
        if broken:
            print(f"fails before anything is undone: {broken[0]}", file=sys.stderr)  # noqa: T201
            return 2
        print("| line | test that fails when it is undone |\n|---|---|", flush=True)  # noqa: T201
        for line in lines:
            before = (tree / "edge_inspector" / line.path).read_bytes()
            file = undo(line, tree)
            failed = failures(line.tests, tree)
            file.write_bytes(before)
            survivors += [] if failed else [line.name]
            print(f"| {line.name} | {f'`{failed[0]}`' if failed else '**none**'} |", flush=True)  # noqa: T201
    if survivors:
        print(f"undone and nobody noticed: {', '.join(survivors)}", file=sys.stderr)  # noqa: T201
    return 1 if survivors else 0


def _copy(tree: Path) -> Path:
    for name in ("edge_inspector", "tests", "configs", "systemd", "nodered"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tree / name)
    return tree


if __name__ == "__main__":
    sys.exit(main())
