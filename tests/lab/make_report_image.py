"""README's image of a report, made anew: `python tests/lab/make_report_image.py`; the parts are drawn."""

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "nodered"))

from browsers import CHROMIUM, CHROMIUM_ARGS
from factories import png
from make_pictures import IMAGES, a_bracket
from playwright.sync_api import sync_playwright

LARGEST = 200_000


def write_brackets(folder: Path, count: int, *, first: int, bad: bool = False) -> None:
    """Draw brackets; bad ones whose seed is even are scratched, the others stained."""
    for seed in range(first, first + count):
        kind = "good" if not bad else "scratch" if seed % 2 == 0 else "stain"
        place = folder / "test" / kind / f"{seed}.png" if first else folder / f"{seed}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        image = a_bracket(seed, bad=bad)
        place.write_bytes(png(image))
        if bad:
            changed = cv2.absdiff(image, a_bracket(seed)).max(2) > 12
            mask = folder / "ground_truth" / kind / f"{seed}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            mask.write_bytes(png(cv2.morphologyEx(np.uint8(255) * changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))))


def edge_inspector(*arguments: object) -> None:
    """Run a command of ours."""
    subprocess.run([sys.executable, "-m", "edge_inspector.cli", *map(str, arguments)], check=True)


def main() -> None:
    """Train brackets, evaluate on good and bad ones, and take the image of the report."""
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        write_brackets(folder / "fit", 120, first=0)
        write_brackets(folder / "known", 40, first=2000)
        write_brackets(folder / "known", 40, first=3000, bad=True)
        edge_inspector("train", folder / "fit", "--part", "bracket", "--out", folder / "bundle")
        edge_inspector("evaluate", folder / "bundle", folder / "known", "--report", folder / "report.html")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": 1080, "height": 1560})
        page.goto((folder / "report.html").as_uri())
        page.screenshot(path=folder / "report.png")
        browser.close()
        save_small(folder / "report.png")


def save_small(shot: Path) -> None:
    """Keep the image in 256 colours: text stays sharp, and the file small.

    Raises:
        ValueError: the file is larger than a README image may be.
    """
    from PIL import Image  # noqa: PLC0415 - comes with matplotlib

    out = IMAGES / "report.png"
    Image.open(shot).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT).save(out, optimize=True)
    if out.stat().st_size > LARGEST:
        raise ValueError(f"{out} has {out.stat().st_size} bytes, at most {LARGEST} are wanted")


if __name__ == "__main__":
    main()
