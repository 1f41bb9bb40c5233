"""A busy line: the page stays quick and the server small."""

import json
import time
from collections.abc import Callable

import pytest
from brokers import Mosquitto, until
from dashboards import NodeRed, show
from fake_station import Station, draw_part, encode_thumb
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow

SCRATCH = ((700, 300, 130, 70),)
WATCH_LONG_TASKS = """() => {
  window.tasks = []
  new PerformanceObserver(list => list.getEntries().forEach(task => window.tasks.push(task.duration))).observe({ type: 'longtask' })
}"""  # noqa: E501


def produce(station: Station, parts: int, *, a_minute: float) -> int:
    """Judge `parts` parts at an even pace; one in ten is bad. Return the bytes of what was published."""
    picture = draw_part(SCRATCH, 1)
    published = 0
    started = time.monotonic()
    for number in range(parts):
        message = station.result(*(("NG", SCRATCH) if number % 10 == 0 else ("OK",)))
        thumb = encode_thumb(picture, message["id"])
        published += len(json.dumps(message)) + len(thumb)
        station.send("result", message)
        station.send("image/thumb", thumb, part_id=message["id"])
        station.counters()
        due = started + (number + 1) * 60 / a_minute
        until(lambda due=due: time.monotonic() >= due, "the next part")  # type: ignore[misc]
    return published


def test_a_thousand_results_a_minute_are_kept_up_with(
    page: Page, broker: Mosquitto, node_red: Callable[..., NodeRed]
) -> None:
    """The newest part is shown while parts rush by; how long the page was busy is printed for the record."""
    dashboard = node_red(broker.port)
    with Station(broker.port) as station:
        station.health()
        show(page, dashboard, station)
        page.evaluate(WATCH_LONG_TASKS)
        produce(station, 1000, a_minute=1000)
        tasks = sorted(page.evaluate("window.tasks"))
        print(f"\n{len(tasks)} long tasks, ms: {[round(task) for task in tasks[-5:]]}")  # noqa: T201 - for the record

        expect(page.get_by_test_id("recent")).to_contain_text(f"SN-{47000 + station.seq}")


def test_ten_thousand_results_leave_the_server_as_small_as_five_thousand(
    page: Page, broker: Mosquitto, node_red: Callable[..., NodeRed]
) -> None:
    """Every list has an end: growth, if any, is the garbage collector's, far below the bytes that came."""
    dashboard = node_red(broker.port)
    with Station(broker.port) as station:
        station.health()
        show(page, dashboard, station)
        produce(station, 5000, a_minute=60_000)
        before = dashboard.memory_mb
        published_mb = produce(station, 5000, a_minute=60_000) / 1e6
        growth = dashboard.memory_mb - before
        print(f"\n{published_mb:.0f} MB published, {growth:.1f} MB grown")  # noqa: T201

        assert growth < published_mb / 3
        expect(page.get_by_test_id("recent")).to_contain_text(f"SN-{47000 + station.seq}")
