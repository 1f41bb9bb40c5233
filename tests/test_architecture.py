"""Imports point down, and what must happen in one place happens in one place (ARCHITECTURE, the map)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_inspector

PACKAGE = Path(edge_inspector.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
ARROWS = {
    "cli": ("commands",),
    "commands": ("demo", "bench", "line", "lab", "settings"),
    "demo": ("line", "lab", "settings", "private_line"),
    "bench": ("line", "lab", "settings", "private_line"),
    "private_line": ("line", "bundle", "settings", "toml"),
    "line": ("bundle", "wire", "settings"),
    "lab": ("bundle", "wire", "detectors", "inspection"),
    "bundle": ("engines",),
    "engines": ("inspection",),
    "detectors": ("inspection",),
    "settings": ("wire",),
    "wire": ("inspection",),
    "inspection": (),
    "__init__": (),
    "atomic": (),
    "errors": (),
    "image_names": (),
    "native": (),
    "text": (),
    "toml": (),
    "validation": (),
}
"""Who may look straight down on whom; everything below may be used too."""
LEAVES = {"__init__", "errors", "atomic", "toml", "image_names", "native", "text", "validation"}
WINGS = {
    "line": (
        ("setup", "station", "pool", "collect", "archive", "broker", "health", "sources", "ledger"),
        ("ticks", "process", "environment"),
    ),
    "lab": (("report", "benchmark", "train", "calibration", "training", "evaluation", "data"), ("machine",)),
}
"""From the top down: a wing imports only wings below it, and the ground, on which everything stands."""
MOST_MODULES = 18
MOST_METHODS = 15
TORCH = {"torch", "torchvision"}
HAND_OVER = {"cli", "commands", "demo", "bench"}
"""These call what trains, but only when asked to: they import it inside functions."""


def room_of(name: str) -> str:
    """Return the part of the product that a file or module belongs to."""
    return name.split("/", maxsplit=1)[0].removesuffix(".py")


def below(room: str) -> set[str]:
    """Return everything that `room` may import."""
    found = {room, *LEAVES}
    for lower in ARROWS[room]:
        found |= below(lower)
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield each imported module, and each name taken from one, with dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> set[str]:
    """Return the product's files that a file imports, with the packages that are run on the way."""
    found = set()
    for module in imported(TREES[name]):
        steps = module.split(".")[1:] if module.startswith("edge_inspector") else []
        for depth in range(1, len(steps) + 1):
            path = "/".join(steps[:depth])
            found |= {file for file in (f"{path}.py", f"{path}/__init__.py") if file in FILES}
    return found - {name}


def may_import_torch(name: str) -> bool:
    """Say whether a file is one of those that train."""
    trains = room_of(name) == "detectors" and name not in ("detectors/settings.py", "detectors/__init__.py")
    return (
        trains
        or name == "lab/train.py"
        or name
        in {
            f"lab/{file}.py"
            for file in (
                *("training/train_part", "training/export", "training/precision", "training/tune", "training/pretrain"),
                "benchmark/table",
            )
        }
    )


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down(name: str) -> None:
    """A maintainer can read a file without knowing what is above it."""
    rooms = {room_of(file) for file in own_imports(name)}

    assert rooms <= below(room_of(name))


@pytest.mark.parametrize("name", [name for name in FILES if room_of(name) in WINGS and name.count("/") > 0])
def test_wings_import_only_what_is_below_them(name: str) -> None:
    """Data flows one way inside `line/` and `lab/`, too."""
    package, wing = room_of(name), name.split("/")[1].removesuffix(".py")
    order, ground = WINGS[package]
    steps = {file.split("/")[1].removesuffix(".py") for file in own_imports(name) if room_of(file) == package}
    floors = [*order, *ground]

    assert wing in (*floors, "__init__"), f"{package}/{wing} has no place in the order"
    if wing in order:
        assert steps <= {*floors[floors.index(wing) :], *ground, "__init__"}
    elif wing in ground:
        assert steps <= {*ground, "__init__"}


def test_no_folder_is_too_full_to_find_a_file_in() -> None:
    """Who looks for something reads a folder's names: no more than eighteen."""
    folders = [name.rpartition("/")[0] for name in FILES if not name.endswith("__init__.py")]

    assert {folder: folders.count(folder) for folder in folders if folders.count(folder) > MOST_MODULES} == {}


def test_no_class_does_too_much() -> None:
    """Whoever needs more than fifteen public methods has more than one noun."""
    classes = {
        f"{name}:{node.name}": [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    public = {name: len([one for one in names if not one.startswith("_")]) for name, names in classes.items()}

    assert {name: count for name, count in public.items() if count > MOST_METHODS} == {}


def test_line_and_lab_never_see_each_other() -> None:
    """The daemon does not depend on what trains, nor the other way."""
    assert "lab" not in below("line")
    assert "line" not in below("lab")


@pytest.mark.parametrize("name", [name for name in FILES if not may_import_torch(name)])
def test_only_what_trains_imports_torch(name: str) -> None:
    """A PC on the line has no torch: not in a function either, and not through another file."""
    direct = {module.split(".")[0] for module in imported(TREES[name])}
    reached, waiting = {name}, [name]
    while waiting:
        for file in own_imports(waiting.pop()) - reached:
            reached.add(file)
            waiting.append(file)
    through = {file for file in reached if may_import_torch(file)} if room_of(name) not in HAND_OVER else set()

    assert not direct & TORCH
    assert not through


def test_a_pc_without_torch_can_import_everything_else() -> None:
    """All modules but those that train come up without torch in the process."""
    modules = [
        f"edge_inspector.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")
        for name in FILES
        if not may_import_torch(name)
    ]
    program = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "False"


def test_only_decide_can_say_ok() -> None:
    """There is one place to read when a part was passed: inspection/decide.py."""
    users = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "WITHIN_LIMIT")
        or (isinstance(node, ast.Constant) and node.value == "WITHIN_LIMIT")
    }

    assert users - {"inspection/model.py"} == {"inspection/decide.py"}


def test_only_the_commands_print_or_exit() -> None:
    """Everything else returns or raises, so that it can be used by anything."""
    talkers = {
        room_of(name)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in ("print", "typer.echo", "sys.exit", "exit", "quit", "os._exit", "sys.stdout.write")
    }

    assert talkers == {"cli", "commands"}


def test_nothing_is_unpickled() -> None:
    """A bundle from a stranger runs no code."""
    unsafe = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for name, tree in TREES.items():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        keywords = [(word.arg, ast.unparse(word.value)) for call in calls for word in call.keywords]
        functions = [ast.unparse(call.func) for call in calls]

        errors = [node for node in ast.walk(tree) if ast.unparse(node) == "from pickle import UnpicklingError"]
        safe_loads = [
            call
            for call in calls
            if ast.unparse(call.func) == "torch.load" and "weights_only=True" in ast.unparse(call)
        ]

        assert len([m for m in imported(tree) if m.split(".")[0] in unsafe]) == 2 * len(errors), name
        assert not [value for word, value in keywords if word == "allow_pickle" and value != "False"], name
        assert not {"eval", "exec", "torch.jit.load", "yaml.load"} & set(functions), name
        assert functions.count("torch.load") == len(safe_loads), name


def test_only_the_inspection_stage_catches_everything() -> None:
    """Whatever is thrown while judging a part, or by one file of a folder, is an answer; elsewhere it is named."""
    catchers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
    }

    assert catchers == {"line/sources/folder.py", "line/station/stage.py"}


def test_time_and_environment_are_passed_in() -> None:
    """Only what starts a process reads the clock or the environment, so that everything else can be tested."""
    asks = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
    readers = {
        name if room_of(name) in ("line", "lab") else room_of(name)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (
            ast.unparse(node) in ("os.environ", "os.getenv", "sys.argv", "datetime.now", "datetime.utcnow")
            or (ast.unparse(node.value) == "time" and node.attr in asks)
        )
    }

    tells_a_library_to_report_nothing_home = {"lab/training/precision.py"}
    assert (
        readers
        <= {"commands", "demo", "bench", "private_line", "line/process.py", "line/station/daemon.py"}
        | tells_a_library_to_report_nothing_home
    )
