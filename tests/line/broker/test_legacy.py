"""The prior system's topics, for dashboards that were built on them (reference prior-systems.md 1.6)."""

import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Heard, Subscriber, drop, write_settings
from factories import a_part, a_result_builder, png
from numpy.typing import NDArray
from stations import Bench, wait_until_ready

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.model import Reason
from edge_inspector.line.broker.legacy import Legacy
from edge_inspector.line.broker.shifts import turn_at
from edge_inspector.line.ticks import Answered
from edge_inspector.settings import SHIFTS
from edge_inspector.wire.messages import Counters

IN_ORDER = ("result", "input_image", "decoded_image", "loss_image", "defect_image", "defect_percentage", "total",
            "ok_parts", "defect_parts", "parts_minute")  # fmt: skip
NOW = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Parts:
    """What came on the prior topics for a good part and then for a bad one, in order."""

    good: tuple[Heard, ...]
    bad: tuple[Heard, ...]


@pytest.fixture(scope="module")
def parts(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """Run the real daemon with `mqtt.legacy` and show it two parts."""
    folder = tmp_path_factory.mktemp("legacy")
    with Mosquitto(folder / "broker") as broker:
        config = write_settings(folder, bundle=bundle.path, port=broker.port, mqtt_keys="legacy = true")
        with Subscriber(broker.port, base="AiVision_Defects") as old, Daemon(config) as daemon:
            daemon.start()
            drop(folder / "inbox", "good.png", png(a_part(1)))
            until(lambda: len(old.heard) == len(IN_ORDER), "all topics of the first part")
            drop(folder / "inbox", "bad.png", png(a_part(2, scratched=True)))
            until(lambda: len(old.heard) == 2 * len(IN_ORDER), "all topics of the second part")
            yield Parts(tuple(old.heard[: len(IN_ORDER)]), tuple(old.heard[len(IN_ORDER) :]))


def image(heard: Heard) -> NDArray[np.uint8]:
    """Return an image as a dashboard of then decodes it."""
    found = cv2.imdecode(np.frombuffer(b64decode(heard.payload, validate=True), np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found  # type: ignore[no-any-return]


def test_the_topics_come_in_the_prior_order(parts: Parts) -> None:
    """The verdict first, then images, then counters; nothing is retained."""
    assert tuple(heard.topic for heard in parts.good) == IN_ORDER
    assert tuple(heard.topic for heard in parts.bad) == IN_ORDER
    assert not [heard for heard in (*parts.good, *parts.bad) if heard.retained]


def test_ok_and_everything_else_is_nok(parts: Parts) -> None:
    """Two words, as then."""
    assert parts.good[0].payload == b"OK"
    assert parts.bad[0].payload == b"NOK"


def test_the_images_are_png_in_base64(parts: Parts) -> None:
    """At the detector's size; the mask shows the defect and only on the bad part."""
    shapes = {image(heard).shape[:2] for heard in (*parts.good[1:5], *parts.bad[1:5])}

    assert shapes == {(64, 64)}
    assert all(b64decode(heard.payload)[:8] == b"\x89PNG\r\n\x1a\n" for heard in parts.good[1:5])
    assert set(np.unique(image(parts.bad[4]))) == {0, 255}
    assert image(parts.good[4]).mean() < image(parts.bad[4]).mean()


def test_the_counters_are_as_then(parts: Parts) -> None:
    """Percentage as a rounded float, the rest as whole numbers."""
    assert [heard.payload for heard in parts.good[5:9]] == [b"0.0", b"1", b"1", b"0"]
    assert [heard.payload for heard in parts.bad[5:9]] == [b"50.0", b"2", b"1", b"1"]
    assert float(parts.bad[9].payload) == 2


@pytest.mark.parametrize("reason", Reason)
def test_only_an_accepted_part_is_ok(reason: Reason) -> None:
    """REVIEW, INVALID and ERROR are NOK, and have no images where none was judged."""
    answered = Answered(a_result_builder(reason=reason)("l1", 1, 0), None, live=True)
    found = list(Legacy({}).messages(answered, some_counters(3, 1)))

    assert found[0] == ("AiVision_Defects/result", b"OK" if reason is Reason.WITHIN_LIMIT else b"NOK")
    assert "AiVision_Defects/input_image" not in dict(found)


@pytest.mark.parametrize(
    ("total", "ok", "percentage"),
    [(0, 0, b"0.0"), (3, 2, b"33.0"), (3, 1, b"67.0"), (200, 199, b"0.0"), (4, 0, b"100.0")],
)
def test_a_shift_is_told_with_its_hour(total: int, ok: int, percentage: bytes) -> None:
    """`_shift_6` and the like; a shift without parts is no division by zero."""
    found = dict(Legacy({}).numbers(some_counters(total, ok), "_shift_6"))

    assert found == {
        "AiVision_Defects/defect_percentage_shift_6": percentage,
        "AiVision_Defects/total_shift_6": str(total).encode(),
        "AiVision_Defects/ok_parts_shift_6": str(ok).encode(),
        "AiVision_Defects/defect_parts_shift_6": str(total - ok).encode(),
    }


def some_counters(total: int, ok: int) -> Counters:
    """Return counters of which the rest is NG."""
    values = {"since": NOW, "total": total, "ok": ok, "ng": total - ok, "review": 0, "invalid": 0, "error": 0}
    return Counters.model_validate({**values, "replayed": 0, "yield": None, "parts_per_minute": 1.5, "by_part": {}})


def test_the_end_of_a_shift_is_told(tmp_path: Path) -> None:
    """Also the end of the night: the prior system compared "06" with "6" and never told it."""
    bench_clock = turn_at(time.time_ns(), SHIFTS, None).start_ns + 60_000_000_000 - time.time_ns()
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker.port, base="AiVision_Defects") as old:
        bench = Bench(tmp_path, broker.port, mqtt={"legacy": True})
        bench.now_ns = lambda: time.time_ns() + bench_clock
        with bench, Subscriber(broker.port) as heard:
            wait_until_ready(heard)
            for turn in range(1, 4):
                bench.now_ns = lambda turn=turn: time.time_ns() + bench_clock + turn * 8 * 3_600_000_000_000
                until(lambda turn=turn: len(old.heard) == 4 * turn, f"{turn} shifts")

    assert {heard.topic for heard in old.heard} == {
        f"{name}_shift_{hour}"
        for name in ("defect_percentage", "total", "ok_parts", "defect_parts")
        for hour in (6, 14, 22)
    }
