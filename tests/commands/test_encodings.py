"""A terminal, a pipe or a service of any encoding, and image names of any bytes: words, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories import a_part, png

from edge_inspector.bundle import Bundle

ODD = os.fsdecode(b"teil-\xe4-\xff.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an image whose name is no UTF-8, and one whose name no other encoding here has."""
    folder = tmp_path_factory.mktemp("images")
    for name in (ODD, "座金.png"):
        (folder / name).write_bytes(png(a_part(0)))
    return folder


@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda value: "-".join(value.values())[:12],
)
def test_no_encoding_ends_a_command(bundle: Bundle, images: Path, surroundings: dict[str, str]) -> None:
    """What a terminal cannot show is shown as something else."""
    for words in (
        ("--help",),
        ("train", "--help"),
        ("card", bundle.path),
        ("inspect", bundle.path, images),
        ("inspect", bundle.path, images / ODD, "--json"),
        ("inspect", bundle.path, images, "--csv", "-"),
        ("data", "check", images),
        ("trän", ODD),
        ("run", "--config", images / ODD),
    ):
        command = [sys.executable, "-m", "edge_inspector.cli", *map(str, words)]
        found = subprocess.run(command, capture_output=True, check=False, env={**os.environ, **surroundings})

        assert b"Traceback" not in found.stderr, (words, found.stderr)
        assert found.returncode in (0, 1, 64, 65, 74, 78), words
