"""What rows of the matrix share."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.rig import Rig, running

from edge_inspector.bundle import Bundle


@pytest.fixture(scope="module")
def line(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run one line for the faults that it lives through."""
    with running(tmp_path_factory.mktemp("line"), bundle) as rig:
        yield rig


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
