"""The promise over several PCs: kill a worker whenever you like, and every image still has a result of its own."""

from pathlib import Path

import pytest
from brokers import Mosquitto, until
from fleets import fleet

from edge_inspector.bundle import Bundle


@pytest.mark.parametrize("returns", [True, False], ids=["it comes back", "it stays away"])
@pytest.mark.parametrize("images", [30, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.fault("SIGKILL of one of two workers of a pool")
def test_every_image_has_a_result_though_a_worker_is_killed(
    bundle: Bundle, tmp_path: Path, images: int, *, returns: bool
) -> None:
    """Two workers share a camera's images; one is killed in the middle, and not one image is lost."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        fleet(tmp_path, bundle=bundle.path, port=broker.port, workers=2, keys="resend_s = 1") as line,
    ):
        line.send(images)
        shared = line.scada.wait_for(images // 3, 60).judges.copy()
        line.workers[0].kill()
        if returns:
            line.workers[0].launch()
        found = line.scada.wait_for(images, 60 + images)
        until(lambda: not list((tmp_path / "inbox" / ".claimed").iterdir()), "the camera has let go of all")

        assert len(shared) == 2, "both workers had a share"
        assert len(found.ids) == len(found.serials) == images
        assert found.verdicts["OK"] >= images - 1, "but for the one that a worker died with, all are good"
