"""The same pictures through this daemon, through the prior system's loop and through anomalib, in turn, in one run.

    make peers DATA=../shared/data/bottle

Each peer has an environment of its own below `--home`, made where it is missing; the product never installs one.
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_inspector.lab.machine import processor
from edge_inspector.private_line import private_broker

HERE = Path(__file__).parent
PRIOR = (
    "tensorflow-cpu>=2.20,<3",
    "keras>=3.10,<4",
    "scikit-image",
    "opencv-python-headless",
    "matplotlib",
    "paho-mqtt>=2.1",
)
ANOMALIB = ("anomalib[openvino]>=2.2,<3",)
WANTED = (("cae:my", "prior system's loop", 1 / 15), ("padim", "anomalib PaDiM, OpenVINO", 1 / 2))


def main() -> None:
    """Run all three and print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("data", type=Path, help="folder with train/good and test/*, JPEG pictures")
    words.add_argument("--home", type=Path, default=Path("dist/peers"), help="where the peers' environments are")
    asked = words.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours = {kind: measured(kind, asked.data, folder) for kind, _, _ in WANTED}
        with private_broker(folder) as mqtt:
            prior = answer(python(asked.home / "prior", PRIOR), HERE / "prior_loop.py", asked.data / "test", mqtt.port)
        anomalib = answer(python(asked.home / "anomalib", ANOMALIB), HERE / "anomalib_padim.py", asked.data)
    theirs = {"cae:my": prior["ms"], "padim": min(anomalib["default"], anomalib["f32"])}
    sys.stdout.write(f"{processor()}; {asked.data.name}, {prior['parts']:.0f} pictures, median ms a part\n\n")
    sys.stdout.write("| ours, picture complete to result heard | ms | peer | ms | ours / peer | at most |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for kind, peer, at_most in WANTED:
        ratio = ours[kind] / theirs[kind]
        times = f"{ours[kind]:.1f} | {peer} | {theirs[kind]:.1f}"
        sys.stdout.write(f"| {kind} | {times} | {ratio:.3f} | {at_most:.3f} |\n")


def measured(kind: str, data: Path, folder: Path) -> float:
    """Teach a bundle and return the median milliseconds from a complete picture to its result at a subscriber."""
    bundle = folder / kind.replace(":", "-")
    command = [sys.executable, "-m", "edge_inspector.cli"]
    teach = ["train", str(data / "train" / "good"), "--part", "peer", "--out", str(bundle), "--detector", kind]
    subprocess.run([*command, *teach, "--minutes", "1", "--json"], check=True, stdout=subprocess.DEVNULL)
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for number, file in enumerate(sorted((data / "test").rglob("*.jpg"))):
        (pictures / f"{number}.jpg").write_bytes(file.read_bytes())
    found = subprocess.run(
        [*command, "bench", str(bundle), "--pictures", str(pictures), "--json"], check=True, stdout=subprocess.PIPE
    )
    return float(json.loads(found.stdout)["daemon"]["answered_ms"]["p50"])


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
    found = subprocess.run([program, script, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(found.stdout.strip().splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
