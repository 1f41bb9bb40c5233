"""What no test may rest on: the clock of a busy machine, and a training that nobody runs on another processor."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import PATIENCE_S

TESTS = Path(__file__).parent
FILES = {path.relative_to(TESTS).as_posix(): path for path in sorted(TESTS.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
CLOCKS = ("time.monotonic()", "time.perf_counter()", "time.time()", "time.monotonic_ns()", "time.perf_counter_ns()")
MEASURES = ("benchmarks/", "load.py", "soak.py")
"""These measure, and decide no test of `make test`."""
SLEEPERS = {"brokers.py", "line/station/test_stage.py", "simulation/scheduler.py"}
"""`until`, a fake camera between two frames, and the simulated clock."""
TRAINERS = {"train", "taught", "measure", "pretrain_backbone", "tune"}
"""Functions of the lab, and of the tests, that train."""


def calls_in(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield each call."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_elapsed(node: ast.AST, known: set[str]) -> bool:
    """Say whether an expression holds a difference of two readings of a clock, or a name for one."""
    return any(
        (isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub) and any(c in ast.unparse(part) for c in CLOCKS))
        or (isinstance(part, ast.Name) and part.id in known)
        or (isinstance(part, ast.Constant) and part.value == "timing_ms")
        for part in ast.walk(node)
    )


def elapsed_names(function: ast.AST) -> set[str]:
    """Return the names that a function gives to elapsed time, alone or in a list."""
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and is_elapsed(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".append") and is_elapsed(node, names):
            names.add(ast.unparse(node.func).removesuffix(".append"))
    return names


def asks_for_haste(check: ast.Assert, names: set[str]) -> bool:
    """Say whether an assertion fails where elapsed time is long."""
    for node in ast.walk(check.test):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                shorter = {ast.Lt: left, ast.LtE: left, ast.Gt: right, ast.GtE: right}.get(type(operator))
                if shorter is not None and is_elapsed(shorter, names):
                    return True
    return False


def test_no_test_fails_for_being_slow() -> None:
    """Nothing is asserted to take less than so long: on a busy machine everything does."""
    hasty = [
        f"{name}:{check.lineno}"
        for name, tree in TREES.items()
        if not name.startswith(MEASURES)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for check in ast.walk(function)
        if isinstance(check, ast.Assert) and asks_for_haste(check, elapsed_names(function))
    ]

    assert hasty == []


@pytest.mark.parametrize(
    "body",
    [
        "begun = time.monotonic(); took = time.monotonic() - begun; assert took < 1",
        "times = []; times.append(time.perf_counter() - begun); assert 2 > max(times)",
        "assert result['timing_ms']['total'] <= 50",
    ],
)
def test_haste_is_seen(body: str) -> None:
    """What the rule above is to find, it finds."""
    function = ast.parse(body)
    checks = [node for node in ast.walk(function) if isinstance(node, ast.Assert)]

    assert asks_for_haste(checks[0], elapsed_names(function))


def test_patience_is_never_shorter_than_patience() -> None:
    """Who waits for what must come says no deadline, or a longer one; `comes` is for what may come or not."""
    short = [
        f"{name}:{call.lineno}"
        for name, tree in TREES.items()
        for call in calls_in(tree)
        for seconds in [*call.args[2:3], *(word.value for word in call.keywords if word.arg in ("seconds", "timeout"))]
        if ast.unparse(call.func) in ("until", "subprocess.run", "expect")
        and isinstance(seconds, ast.Constant)
        and seconds.value < PATIENCE_S
    ]

    assert short == []


def test_nobody_sleeps_and_hopes() -> None:
    """A test waits for what it wants to see, with `until`."""
    sleepers = {name for name, tree in TREES.items() for c in calls_in(tree) if ast.unparse(c.func) == "time.sleep"}

    assert sleepers <= SLEEPERS


def test_who_trains_can_be_selected() -> None:
    """Tests with the shared fixtures are marked by themselves, those that train on their own say so."""
    trainers = {
        name
        for name, tree in TREES.items()
        if Path(name).name.startswith("test_") and "edge_inspector.lab" in FILES[name].read_text(encoding="utf-8")
        for call in calls_in(tree)
        if ast.unparse(call.func) in TRAINERS
    }
    unmarked = {name for name in trainers if "mark.trains" not in FILES[name].read_text(encoding="utf-8")}

    assert unmarked <= {"lab/test_train.py", "lab/training/test_resume.py"}, (
        "one refuses, the other goes on from `bundle`"
    )
    assert {"lab/training/test_aligned.py", "detectors/test_kinds.py"} <= trainers
