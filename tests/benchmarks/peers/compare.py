"""The same images through this daemon, through the prior system's loop and through anomalib, in turn, in one run.

    make peers DATA=../shared/data/bottle

Each peer has an environment of its own below `--home`, made where it is missing; the product never installs one.
"""

import argparse
import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_inspector.lab.machine import processor
from edge_inspector.private_line import private_broker

HERE = Path(__file__).resolve().parent
PRIOR = (
    "tensorflow-cpu>=2.20,<3",
    "keras>=3.10,<4",
    "scikit-image",
    "opencv-python-headless",
    "matplotlib",
    "paho-mqtt>=2.1",
)
ANOMALIB = ("anomalib[openvino]>=2.2,<3",)
JUDGING = ("read", "decode", "resize", "quality", "network", "residual", "decide")
"""What anomalib's inferencer does as well, in one process: from a file to a verdict."""


def main() -> None:
    """Run all three and print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("data", type=Path, help="folder with train/good and test/*, JPEG images")
    words.add_argument("--home", type=Path, default=Path("dist/peers"), help="where the peers' environments are")
    asked = words.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours = {kind: measured(kind, asked.data, folder) for kind in ("cae:my", "padim")}
        with private_broker(folder) as mqtt:
            prior = answer(
                python(asked.home / "prior", PRIOR), HERE / "prior_loop.py", asked.data.resolve() / "test", mqtt.port
            )
        anomalib = answer(python(asked.home / "anomalib", ANOMALIB), HERE / "anomalib_padim.py", asked.data.resolve())
    openvino = min(anomalib["default"], anomalib["f32"])
    rows = (
        (
            "cae:my, complete image to result at a subscriber",
            ours["cae:my"].heard,
            "prior system's loop",
            prior["ms"],
            1 / 15,
        ),
        ("padim, file to verdict in one process", ours["padim"].judged, "anomalib PaDiM, OpenVINO", openvino, 1 / 2),
        ("padim, complete image to result heard", ours["padim"].heard, "the same", openvino, None),
    )
    sys.stdout.write(f"{processor()}; {asked.data.name}, {prior['parts']:.0f} images, median ms a part\n\n")
    sys.stdout.write("| ours | ms | peer | ms | ours / peer | at most |\n|---|---|---|---|---|---|\n")
    for what, here, peer, there, at_most in rows:
        bound = "" if at_most is None else f"{at_most:.2f}"
        sys.stdout.write(f"| {what} | {here:.1f} | {peer} | {there:.1f} | {here / there:.2f} | {bound} |\n")


@dataclass(frozen=True, slots=True)
class Ours:
    """Median milliseconds a part."""

    heard: float
    judged: float


def measured(kind: str, data: Path, folder: Path) -> Ours:
    """Train a bundle and time it."""
    bundle = folder / kind.replace(":", "-")
    command = [sys.executable, "-m", "edge_inspector.cli"]
    train_detector = ["train", str(data / "train" / "good"), "--part", "peer", "--out", str(bundle), "--detector", kind]
    subprocess.run([*command, *train_detector, "--minutes", "1", "--json"], check=True, stdout=subprocess.DEVNULL)
    images = folder / "pictures"
    images.mkdir(exist_ok=True)
    for number, file in enumerate(sorted((data / "test").rglob("*.jpg"))):
        (images / f"{number}.jpg").write_bytes(file.read_bytes())
    found = subprocess.run(
        [*command, "bench", str(bundle), "--images", str(images), "--json"], check=True, stdout=subprocess.PIPE
    )
    figures = json.loads(found.stdout)
    stages = figures["pictures"]["given"]["stages"]
    return Ours(figures["daemon"]["answered_ms"]["p50"], sum(stages[name]["p50"] for name in JUDGING))


def python(home: Path, packages: tuple[str, ...]) -> Path:
    """Return the Python of a peer's environment."""
    program = home / "bin" / "python"
    if not (home / "complete").exists():
        venv.create(home, with_pip=True)
        subprocess.run([program, "-m", "pip", "install", "-q", *packages], check=True)
        (home / "complete").touch()
    return program


def answer(program: Path, script: Path, *words: object) -> dict[str, float]:
    """Run a peer's script and return the JSON in its last line."""
    with TemporaryDirectory() as scratch:  # anomalib leaves compiled graphs where it is started
        command = [program.absolute(), script, *map(str, words)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=scratch)
    figures: dict[str, float] = json.loads(found.stdout.strip().splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
