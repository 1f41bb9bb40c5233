"""`make TORCH_INDEX=URL`: PyTorch from another index, and everything else as ever."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
TORCH, TORCHVISION = "2.9.0+cpu", "0.24.0+cpu"


def planned(venv: Path, *variables: str) -> list[str]:
    """Return the commands with pip that `make` would run for a new environment."""
    command = ["make", "-n", f"VENV={venv}", *variables, f"{venv}/demo"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in told.splitlines() if line.startswith(f"{venv}/bin/pip install")]


def write_wheel(index: Path, name: str, version: str) -> None:
    """Write a wheel that holds nothing, and the page of an index that names it."""
    folder = index / name
    folder.mkdir(parents=True)
    file = f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with ZipFile(folder / file, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\n")
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{file.replace("+", "%2B")}">{file}</a>')


@pytest.fixture
def index(tmp_path: Path) -> str:
    """Give the address of a local index of stand-ins."""
    write_wheel(tmp_path / "index", "torch", TORCH)
    write_wheel(tmp_path / "index", "torchvision", TORCHVISION)
    return (tmp_path / "index").as_uri()


def test_the_default_is_the_ordinary_index(tmp_path: Path) -> None:
    """Nothing is said of an index."""
    (line,) = planned(tmp_path / "venv")

    assert shlex.split(line)[1:] == ["install", "-q", "-e", ".[demo]"]


def test_pytorch_comes_from_another_index(tmp_path: Path, index: str) -> None:
    """Both packages are taken there, and what is installed afterwards may not replace them."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    torch, rest = planned(venv, f"TORCH_INDEX={index}")

    alone = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}
    subprocess.run(torch, shell=True, executable="/bin/bash", check=True, cwd=ROOT, env=alone)  # noqa: S602 - make's
    kept = venv / "torch.txt"
    assert kept.read_text().splitlines() == [f"torch=={TORCH}", f"torchvision=={TORCHVISION}"]
    assert shlex.split(rest)[1:] == ["install", "-q", "-c", str(kept), "-e", ".[demo]"]
