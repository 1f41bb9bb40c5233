"""The whole line: a real image in the folder, the real daemon, a real broker, the dashboard in a real browser."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from brokers import Mosquitto, until
from daemons import STATION, Daemon, Subscriber, drop, write_settings
from dashboards import NodeRed, skip_where_something_is_missing
from factories import a_part, png
from playwright.sync_api import Page, expect

from edge_inspector.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Plant:
    """Everything that stands in a plant but the operator."""

    folder: Path
    broker: Mosquitto
    daemon: Daemon
    dashboard: NodeRed
    heard: Subscriber

    def photograph(self, serial: str, seed: int, *, scratched: bool = False) -> dict[str, object]:
        """Let the camera write an image and return the part's result."""
        drop(self.folder / "inbox", f"{serial}.png", png(a_part(seed, scratched=scratched)))
        return self.heard.wait_for_results([serial])[serial]


@pytest.fixture(scope="module")
def plant(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Start it all once; every test leaves it running."""
    skip_where_something_is_missing()
    folder = tmp_path_factory.mktemp("plant")
    with Mosquitto(folder / "broker") as broker:
        config = write_settings(folder, bundle=bundle.path, port=broker.port)
        dashboard = NodeRed(folder / "node-red", broker.port)
        with Subscriber(broker.port) as heard, Daemon(config) as daemon:
            try:
                dashboard.start()
                daemon.start()
                until(lambda: heard.last("plc/ready") == "1", "the station is ready")
                yield Plant(folder, broker, daemon, dashboard, heard)
            finally:
                dashboard.stop()


@pytest.fixture
def opened(page: Page, plant: Plant) -> Callable[[str], Page]:
    """Open pages of the dashboard, on our station."""

    def open_page(name: str) -> Page:
        page.goto(f"{plant.dashboard.origin}/dashboard/{name}?station={STATION}")
        page.locator(".ei-station[aria-selected=true]", has_text=STATION).wait_for()
        return page

    return open_page


def test_a_bad_part_in_the_folder_is_ng_on_the_page(plant: Plant, opened: Callable[[str], Page]) -> None:
    """Banner, boxes where the daemon found them, the daemon's own thumbnail, and the count."""
    page = opened("line")
    plant.photograph("good-1", 1)
    expect(page.get_by_test_id("verdict")).to_have_text("OK")
    result = plant.photograph("bad-1", 2, scratched=True)

    expect(page.get_by_test_id("verdict")).to_have_text("NG")
    expect(page.get_by_test_id("picture")).to_have_attribute("data-id", str(result["id"]))
    expect(page.get_by_test_id("box")).to_have_count(len(result["blobs"]))  # type: ignore[arg-type]
    expect(page.get_by_test_id("serial")).to_contain_text("bad-1")
    expect(page.get_by_test_id("count-NG")).to_have_text(str(plant.heard.last("counters")["ng"]))
    assert page.locator("[data-test=picture] image").evaluate(_IS_DRAWN)


def test_the_pause_button_reaches_the_daemon_and_its_answer_the_page(
    plant: Plant, opened: Callable[[str], Page]
) -> None:
    """Pressed on the page, obeyed by the daemon, in its audit trail under the operator's name, and back again."""
    page = opened("control")
    page.get_by_test_id("by").fill("Maria")
    page.get_by_test_id("by").blur()
    page.get_by_test_id("command-pause").click()
    page.get_by_test_id("command-pause").click()  # the first touch asks whether it is meant
    expect(page.get_by_test_id("answer").first).to_contain_text("done")
    until(lambda: plant.heard.last("health")["state"] == "PAUSED", "the daemon is paused")
    until(lambda: plant.heard.last("plc/ready") == "0", "the PLC is told")
    page.get_by_test_id("command-resume").click()
    expect(page.get_by_test_id("command-pause")).to_be_visible()
    until(lambda: plant.heard.last("plc/ready") == "1", "it goes on")

    acks = [json.loads(payload) for payload in plant.heard.payloads("ack")]
    assert [(ack["command"], ack["status"]) for ack in acks] == [("pause", "done"), ("resume", "done")]


def test_images_are_collected_from_the_page(plant: Plant, opened: Callable[[str], Page]) -> None:
    """Asked for on the page, taken from the line at work, told on the page one by one, and there for `train`."""
    page = opened("control")
    page.get_by_test_id("collect-count").fill("2")
    page.get_by_test_id("collect").click()
    expect(page.get_by_test_id("collected")).to_have_text("0 of 2")
    plant.photograph("teach-1", 11)
    expect(page.get_by_test_id("collected")).to_have_text("1 of 2")
    expect(page.get_by_test_id("sharpness")).to_have_text("100 % of the best")
    plant.photograph("teach-2", 12)
    expect(page.get_by_test_id("next")).to_contain_text("edge-inspector train ")
    folder = page.get_by_test_id("next").inner_text().split()[2]

    assert sorted(path.name for path in Path(folder).iterdir()) == ["teach-1.png", "teach-2.png"]
    assert Path(folder, "teach-1.png").read_bytes() == png(a_part(11))


def test_a_broker_that_dies_is_seen_and_forgotten(plant: Plant, opened: Callable[[str], Page]) -> None:
    """Killed and back with nothing retained: daemon and dashboard find each other again, and the next part is shown."""
    page = opened("line")
    plant.photograph("good-2", 3)
    expect(page.get_by_test_id("verdict")).to_have_text("OK")
    plant.broker.kill()
    expect(page.get_by_test_id("verdict")).to_have_text("NO BROKER")
    plant.broker.start()
    expect(page.get_by_test_id("verdict")).to_have_text("OK")
    until(plant.heard.client.is_connected, "the test's own subscriber is back")

    result = plant.photograph("bad-2", 4, scratched=True)
    expect(page.get_by_test_id("picture")).to_have_attribute("data-id", str(result["id"]))


def test_a_daemon_that_dies_is_grey_until_it_lives(plant: Plant, opened: Callable[[str], Page]) -> None:
    """SIGKILL: the old verdict does not look live for ten seconds; started again, the next part is shown."""
    page = opened("line")
    plant.photograph("good-3", 5)
    expect(page.get_by_test_id("verdict")).to_have_text("OK")
    plant.daemon.kill()
    expect(page.get_by_test_id("verdict")).to_have_text("OFFLINE")
    plant.daemon.start()
    expect(page.get_by_test_id("verdict")).not_to_have_text("OFFLINE")

    result = plant.photograph("bad-3", 6, scratched=True)
    expect(page.get_by_test_id("picture")).to_have_attribute("data-id", str(result["id"]))
    expect(page.get_by_test_id("verdict")).to_have_text("NG")


_IS_DRAWN = """async image => {
  const copy = new Image()
  copy.src = image.getAttribute('href')
  await copy.decode()
  return copy.naturalWidth > 0
}"""
