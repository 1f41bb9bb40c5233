"""README's images, made anew: `python tests/nodered/make_pictures.py`. The parts are drawn, so they may be shown."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from brokers import until
from browsers import CHROMIUM, CHROMIUM_ARGS
from dashboards import NodeRed
from factories import png
from playwright.sync_api import sync_playwright

from edge_inspector.bundle import read_bundle
from edge_inspector.private_line import PrivateStation, private_broker, private_daemon, watching, write_settings

IMAGES = Path(__file__).parents[2] / "nodered" / "pictures"
PAGES = ("line", "history", "control", "alarms")


def a_bracket(seed: int, *, bad: bool = False) -> NDArray[np.uint8]:
    """Draw a stamped bracket on a belt, 640 x 480; a bad one has a scratch or a stain."""
    rng = np.random.default_rng(seed)
    belt = 62 + 3 * rng.standard_normal((480, 640)) + np.linspace(0, 8, 640)
    image = np.repeat(belt[..., None], 3, 2).astype(np.float32)
    dx, dy = rng.integers(-2, 3, 2)
    body = np.add(np.array([(140, 120), (500, 110), (540, 200), (520, 370), (160, 380), (110, 250)]), (dx, dy))
    steel = 168 + 4 * rng.standard_normal((480, 1)) + 2 * rng.standard_normal((480, 640))
    mask = np.zeros((480, 640), np.float32)
    cv2.fillPoly(mask, [body.astype(np.int32)], 1.0, cv2.LINE_AA)
    image = image * (1 - mask[..., None]) + (steel * 1.0)[..., None] * mask[..., None] * (0.97, 1.0, 1.02)
    for x, y, radius in ((200, 190, 24), (450, 190, 24), (320, 300, 48), (190, 320, 16)):
        cv2.circle(image, (x + int(dx), y + int(dy)), radius + 3, (205, 208, 212), -1, cv2.LINE_AA)
        cv2.circle(image, (x + int(dx), y + int(dy)), radius, (48, 48, 50), -1, cv2.LINE_AA)
    if bad and seed % 2 == 0:
        x, y = int(rng.integers(370, 420)), int(rng.integers(260, 300))
        cv2.polylines(
            image, [np.array([(x, y), (x + 40, y - 14), (x + 95, y - 8)])], False, (95, 95, 100), 4, cv2.LINE_AA
        )
    if bad and seed % 2 == 1:
        cv2.ellipse(
            image, (300 + int(rng.integers(-20, 60)), 180), (26, 14), 20, 0, 360, (105, 120, 140), -1, cv2.LINE_AA
        )
    return cv2.GaussianBlur(np.clip(image, 0, 255).astype(np.uint8), (3, 3), 0)  # type: ignore[no-any-return]


def edge_inspector(*arguments: object) -> None:
    """Run a command of ours; `inspect` exits with 1 for a part that is not OK."""
    command = [sys.executable, "-m", "edge_inspector.cli", *map(str, arguments)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=arguments[0] != "inspect")


def main() -> None:
    """Train brackets, judge good and bad ones with dashboard and all, and take the images."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        (folder / "good").mkdir()
        for seed in range(90):
            (folder / "good" / f"{seed:03d}.png").write_bytes(png(a_bracket(seed)))
        edge_inspector("train", folder / "good", "--part", "bracket", "--out", folder / "bundle")
        mqtt = stack.enter_context(private_broker(folder))
        bundle = read_bundle(folder / "bundle")
        config = write_settings(
            folder, {"press-1": PrivateStation(watching(folder / "inbox"), {"bracket": bundle})}, mqtt
        )
        dashboard = NodeRed(folder / "dashboard", mqtt.port).start()
        stack.callback(dashboard.stop)
        stack.enter_context(private_daemon(config, folder / "daemon.log"))
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{dashboard.url}?station=press-1")
        show_parts(page, folder / "inbox")
        for name in PAGES:
            page.goto(f"{dashboard.origin}/dashboard/{name}?station=press-1")
            if name == "control":
                collect(page, folder / "inbox")
            page.wait_for_timeout(2500)
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()
        make_verdict(folder)


def collect(page: Any, inbox: Path) -> None:  # noqa: ANN401
    """Have images to train from collected, and drop some parts."""
    page.locator("[data-test=by]").fill("Maria")
    page.locator("[data-test=by]").blur()
    page.locator("[data-test=collect]").click()
    page.locator("[data-test=collected]").wait_for()
    for number in range(12):
        drop(inbox, 4741 + number, a_bracket(2000 + number))
        page.wait_for_timeout(250)


def drop(inbox: Path, serial: int, image: NDArray[np.uint8]) -> None:
    """Have an image appear whole."""
    hidden = inbox / f".{serial}"
    hidden.write_bytes(png(image))
    hidden.rename(inbox / f"SN-{serial}.png")


def show_parts(page: Any, inbox: Path) -> None:  # noqa: ANN401
    """Drop forty parts, every seventh bad, the last one too, and wait until the page shows the last."""
    for number in range(41):
        bad = number % 7 == 3 or number == 40
        drop(inbox, 4700 + number, a_bracket(1000 + number, bad=bad))
        page.wait_for_timeout(250)
    until(lambda: "SN-4740" in page.content(), "the last part is shown")


def make_verdict(folder: Path) -> None:
    """Put the boxes and the heat map of one bad part side by side."""
    part = folder / "bad.png"
    part.write_bytes(png(a_bracket(1002, bad=True)))
    edge_inspector("inspect", folder / "bundle", part, "--save", folder / "look")
    shown = [
        cv2.resize(cv2.imread(str(folder / "look" / "bad" / f"{name}.png")), (480, 360))
        for name in ("boxes", "overlay")
    ]
    cv2.imwrite(str(IMAGES / "verdict.png"), np.hstack(shown))


if __name__ == "__main__":
    main()
