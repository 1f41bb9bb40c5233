"""A user without rights, a folder that is closed, a disk that is full: words and an exit status, no traceback."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import PATIENCE_S
from factories import a_part, png, write_parts

from edge_inspector.bundle import Bundle

_CLOSED = {"run": 74, "check": 1, "history": 65, "diagnose": 74, "init": 74, "train": 74, "inspect": 74, "evaluate": 74}
"""What each command ends with where it may write nothing; `history` finds no ledger there, `check` says so."""
_FULL = {"run": 74, "check": 1, "diagnose": 74, "init": 74, "inspect": 74, "evaluate": 74}


def words_of(command: str, folder: Path, bundle: Bundle) -> list[str]:
    """Return a command that would write below `folder / "shut"`."""
    shut, config = folder / "shut", ("--config", folder / "c.toml")
    station = ("--bundle", bundle.path, "--inbox", folder / "in", "--broker", "127.0.0.1:1")
    words = {
        "diagnose": (*config, "--out", shut / "d.zip"),
        "init": ("press-1", *station, "--config", shut / "s.toml", "--state-dir", folder / "state"),
        "train": (folder / "in", "--part", "washer", "--out", shut / "new" / "b"),
        "inspect": (bundle.path, folder / "in", "--save", shut / "x"),
        "evaluate": (bundle.path, folder / "test", "--report", shut / "r.html"),
    }
    return [sys.executable, "-m", "edge_inspector.cli", command, *map(str, words.get(command, config))]


@pytest.fixture
def place(tmp_path: Path, bundle: Bundle) -> Path:
    """Give a folder with settings, images and a folder `shut` that belongs to nobody."""
    for name in ("shut", "in"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png(a_part(70_000)))
    write_parts(tmp_path / "test" / "good", 3, first=71_000)
    write_parts(tmp_path / "test" / "scratch", 3, first=72_000, scratched=True)
    source, part = f'kind = "folder"\npath = "{tmp_path}/in"', f'name = "washer"\nbundle = "{bundle.path}"'
    station = f'[[station]]\nname = "s"\n[station.source]\n{source}\n[[station.part]]\n{part}'
    (tmp_path / "c.toml").write_text(f'state_dir = "{tmp_path}/shut"\n{station}\n[mqtt]\nport = 1\n')
    return tmp_path


def complaint(command: list[str], status: int, *, full: bool = False) -> str:
    """Run a command and return what it says; it ends as expected and shows no traceback."""

    def fill() -> None:
        if full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, preexec_fn=fill)
    said = done.stdout + done.stderr

    assert "Traceback" not in said, said
    assert done.returncode == status, said
    return said


@pytest.mark.parametrize("command", _CLOSED)
def test_a_closed_folder_is_named(place: Path, bundle: Bundle, command: str) -> None:
    """By whoever may not write there; `train` says so before its work, not after it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    os.chown(place / "shut", 65534, 65534)
    rights = "-dac_override,-dac_read_search"
    alone = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    said = complaint([*alone, *words_of(command, place, bundle)], _CLOSED[command])

    assert f"{place}/shut" in said
    assert "Errno 13" not in said
    assert not any((place / "shut").iterdir())


@pytest.mark.parametrize("command", _FULL)
def test_a_full_disk_is_said(place: Path, bundle: Bundle, command: str) -> None:
    """Nothing that looks finished is left."""
    said = complaint(words_of(command, place, bundle), _FULL[command], full=True)

    assert "File too large" in said or "full" in said
    assert not [left for left in (place / "shut").rglob("*") if left.suffix in (".zip", ".html", ".toml")]
