"""A bad part among the good ones is shown first."""

from pathlib import Path

import cv2

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.lab.calibration.outliers import save_overlays


def test_the_most_unusual_good_images_are_drawn(bundle: Bundle, tmp_path: Path) -> None:
    """One file each, named by what the image was used for, in the camera's size."""
    inspector = open_inspector(bundle, threads=1, clock_ns=lambda: 0)
    written = save_overlays(bundle, inspector, tmp_path / "look")
    outliers = bundle.manifest.calibration.outliers

    assert len(written) == len(outliers) == 15
    assert [path.name.split("-")[1] for path in written] == [one.used_for for one in outliers]
    assert sorted(path.name for path in (tmp_path / "look").iterdir()) == [path.name for path in written]
    assert cv2.imread(str(written[0])).shape == (120, 160, 3)
