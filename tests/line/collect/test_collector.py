"""Images to train from, copied while the station works: no verdict changes, and only what is meant is taken."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest
from brokers import PATIENCE_S, Mosquitto, until
from daemons import STATION, Daemon, Subscriber, write_settings
from factories import a_frame, a_part, an_identity, png
from stations import Bench, ask, wait_until_not_ready, wait_until_ready

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.model import Arrival, Reason, Unreadable, Verdict, Views
from edge_inspector.lab.data.dataset import find_good
from edge_inspector.line.collect import collector
from edge_inspector.line.collect.collector import Collector, Shot
from edge_inspector.line.collect.image_collection import ImageCollection
from edge_inspector.line.collect.request import CollectionRequest, request_for
from edge_inspector.line.sources.source import Accepted
from edge_inspector.line.ticks import Worker

KNOWN = {"washer": "", "bracket": ""}


class StationChannels:
    """A running collector; `said` is what it published."""

    def __init__(self, folder: Path, **changes: Any) -> None:  # noqa: ANN401 - a test factory
        self.said: list[dict[str, Any]] = []
        self.stop = threading.Event()
        worker = Worker("collect", self.stop, queue.SimpleQueue(), time.monotonic_ns)
        values: dict[str, Any] = {
            "folder": folder,
            "min_free_mb": 0,
            "worker": worker,
            "say": lambda payload: self.said.append(json.loads(payload)),
            "shots": queue.Queue(8),
        }
        self.collector = Collector(**(values | changes))
        self._thread = threading.Thread(target=self.collector.run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def request(self, **args: object) -> str:
        """Ask for a collection as the supervisor does, and return when it has begun or ended."""
        before = len(self.said)
        refused = self.collector.accept(an_order(**args))
        if not refused and self._thread.is_alive():
            until(lambda: self.said[before:], "news of the order")
        return refused

    @property
    def last(self) -> Path:
        """The folder of the newest collection."""
        return Path(self.said[-1]["folder"])

    def show(self, arrival: Arrival, verdict: Verdict = Verdict.OK, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Offer an answered part that came just now, and return what is said of it (of views, of the first)."""
        shot = Shot(Accepted(arrival, time.monotonic_ns()), verdict, **{"challenge": False, **changes})
        said = self._now()
        self.collector.offer(shot)
        until(lambda: self._now() != said, "news of the part")
        return self.said[-1]

    def _now(self) -> tuple[int, int, str]:
        """Return what grows or changes with each part, when all is said of it."""
        last = self.said[-1]
        return last["taken"], last["passed_over"], last["state"]


def an_order(**args: object) -> CollectionRequest:
    """Return an order of now."""
    return request_for("Maria", args, active="washer", known=KNOWN, now_ns=0, monotonic_ns=time.monotonic_ns())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[StationChannels]:
    """Run a collector that writes to `tmp_path`/collected."""
    with StationChannels(tmp_path / "collected") as made:
        yield made


def test_good_images_are_where_train_looks(desk: StationChannels, tmp_path: Path) -> None:
    """Written as they came, named by serial, in the group's folder; the last one ends it."""
    assert desk.request(count=2, group="monday") == ""
    first = desk.show(a_frame(png(a_part(1)), serial="S1"))
    last = desk.show(a_frame(a_part(2), serial="S2"), Verdict.NG)
    folder = desk.last

    assert folder.parent == tmp_path / "collected"
    assert folder.name.startswith("washer-")
    assert [(one["state"], one["taken"], one["not_ok"]) for one in (first, last)] == [
        ("taking", 1, 0),
        ("complete", 2, 1),
    ]
    assert len(find_good(folder, None)) == 2
    assert (folder / "monday" / "S1.png").read_bytes() == png(a_part(1))
    assert np.array_equal(cv2.imread(str(folder / "monday" / "S2.png")), a_part(2))
    assert last["folder"] == str(folder)
    assert last["last"] == {**last["last"], "file": "monday/S2.png", "verdict": "NG", "flaws": []}
    assert not desk.collector.busy.is_set()


def test_the_camera_s_faults_are_told_with_each_image(desk: StationChannels) -> None:
    """Blurred, dark and bright: while the part still lies there."""
    desk.request(count=9)
    flaws = [
        desk.show(a_frame(image))["last"]["flaws"]
        for image in (
            a_part(0),
            cv2.GaussianBlur(a_part(0), (0, 0), 4),
            np.zeros_like(a_part(0)),
            np.full_like(a_part(0), 255),
        )
    ]

    assert flaws == [[], ["blurred"], ["blurred", "too_dark"], ["blurred", "too_bright"]]


@pytest.mark.parametrize(
    ("arrival", "shot", "why"),
    [
        (a_frame(part="washer"), {"challenge": True}, "a challenge part"),
        (a_frame(part="bracket"), {}, "bracket: another part"),
        (a_frame(part="washer", replayed=True), {}, "taken before"),
        (a_frame(b"no image", part="washer"), {}, ""),
        (Unreadable(an_identity(part="washer"), Reason.EMPTY, "empty"), {}, "no image"),
        (a_frame(part="washer", serial=".hidden"), {}, "cannot name a file"),
    ],
)
def test_what_is_none_to_train_from_is_passed_over(
    desk: StationChannels, tmp_path: Path, arrival: Arrival, shot: dict[str, Any], why: str
) -> None:
    """Known to be bad, another part, from before, no image: counted and said, and the next one is taken."""
    desk.request(count=1)
    said = desk.show(arrival, **shot)
    after = desk.show(a_frame(part="washer"))

    assert (said["taken"], said["passed_over"]) == (0, 1)
    assert why in said["detail"]
    assert said["detail"]
    assert (after["state"], after["taken"], after["passed_over"]) == ("complete", 1, 1)
    assert len(list((tmp_path / "collected").rglob("*.*"))) == 1


def test_a_part_that_nobody_trained_yet_is_collected_under_its_new_name(desk: StationChannels) -> None:
    """It comes as the active part, or under its own name; another part that is known is none of it."""
    desk.request(count=3, part="flange")
    desk.show(a_frame(part="washer"), Verdict.NG)
    other = desk.show(a_frame(part="bracket"))
    desk.show(a_frame(part="flange"), Verdict.ERROR)

    assert other["is_new"]
    assert (other["taken"], other["detail"]) == (1, "bracket: another part")
    assert len(find_good(desk.last, None)) == 2


def test_all_views_of_a_part_are_taken(desk: StationChannels) -> None:
    """Each in the folder of its view; one that is missing is no reason to lose the others."""
    views = tuple(a_frame(part="washer", view=view, serial="S1") for view in ("top", "side"))
    missing = Unreadable(an_identity(view="back"), Reason.MISSING_VIEW, "")
    desk.request(count=2)
    desk.show(Views(an_identity(part="washer", serial="S1"), (*views, missing)))
    until(lambda: desk.said[-1]["state"] == "complete", "both views")

    assert desk.said[-1]["views"] == ["top", "side"]
    assert sorted(str(path.relative_to(desk.last)) for path in desk.last.rglob("*.*")) == ["side/S1.jpg", "top/S1.jpg"]


def test_each_view_is_as_sharp_as_its_own_best(desk: StationChannels) -> None:
    """A plain side beside a top full of edges is not blurred."""
    plain = cv2.GaussianBlur(a_part(0), (0, 0), 4)
    images = a_frame(a_part(0), part="washer", view="top"), a_frame(plain, part="washer", view="side")
    desk.request(count=9)
    desk.show(Views(an_identity(part="washer"), images))
    until(lambda: desk.said[-1]["taken"] == 2, "both views")

    assert desk.said[-1]["last"]["flaws"] == []


def test_every_collection_has_a_folder_of_its_own(desk: StationChannels) -> None:
    """One that was ended because it was blurred is not trained with the next."""
    folders = []
    for since in (0, 61):
        assert desk.collector.accept(replace(an_order(count=1), since_ns=since * 1_000_000_000)) == ""
        until(lambda since=since: desk.said and desk.said[-1]["since"].endswith(f"{since % 60:02}.000Z"), "it began")
        desk.show(a_frame(part="washer"))
        until(lambda: not desk.collector.busy.is_set(), "it is over")
        folders.append(desk.last)

    assert [folder.name for folder in folders] == ["washer-19700101-000000", "washer-19700101-000101"]
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 1]


def test_what_is_forgotten_ends(desk: StationChannels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour without a part: what comes next is somebody else's."""
    monkeypatch.setattr(collector, "_IDLE_NS", 0)
    desk.request(count=5)
    until(lambda: desk.said[-1]["state"] == "ended", "the end")

    assert "no part for" in desk.said[-1]["detail"]


@pytest.mark.parametrize("fault", [MemoryError("none left"), cv2.error("failed"), OSError("gone")])
def test_nothing_that_goes_wrong_ends_the_program(
    desk: StationChannels, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """A thread that dies would take the whole daemon with it; the collection ends and says why."""

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(ImageCollection, "add", fail)
    desk.request(count=5)
    said = desk.show(a_frame(part="washer"))
    monkeypatch.undo()
    until(lambda: not desk.collector.busy.is_set(), "it is free")

    assert said["state"] == "failed"
    assert said["detail"]
    assert desk.request(count=1) == ""
    assert desk.show(a_frame(part="washer"))["state"] == "complete"


def test_the_end_is_said_when_the_program_ends(tmp_path: Path) -> None:
    """Else the broker would say for ever that images are being taken."""
    with StationChannels(tmp_path) as desk:
        desk.request(count=5)

    assert (desk.said[-1]["state"], desk.said[-1]["detail"]) == ("ended", "the program ends")


def test_to_end_what_is_not_there_takes_back_what_the_broker_says(desk: StationChannels) -> None:
    """A page that shows a collection which nobody makes can be put right."""
    desk.request(count=0)

    assert desk.said[-1]["state"] == "none"


def test_what_was_accepted_before_the_order_is_not_meant(desk: StationChannels) -> None:
    """The operator vouches for what comes from now on."""
    old = Accepted(a_frame(part="washer"), time.monotonic_ns())
    desk.request(count=1)
    desk.collector.offer(Shot(old, Verdict.OK, challenge=False))

    assert desk.show(a_frame(part="washer", serial="new"))["last"]["file"] == "new.jpg"


def test_one_collection_at_a_time(desk: StationChannels) -> None:
    """A second one is refused, the first can be ended, and then the second is taken."""
    assert desk.request(count=5) == ""
    assert "already" in desk.request(count=3)
    assert desk.request(count=0) == ""
    assert (desk.said[-1]["state"], desk.said[-1]["detail"]) == ("ended", "by Maria")
    until(lambda: not desk.collector.busy.is_set(), "it is free")
    assert desk.request(count=3) == ""


def test_a_disk_that_takes_nothing_ends_it(tmp_path: Path) -> None:
    """Verdicts need the room more; what was asked for is not there, and that is said."""
    blocked = tmp_path / "collected"
    blocked.write_text("a file where the folder should be")
    with StationChannels(tmp_path / "room", min_free_mb=10**9) as full, StationChannels(blocked) as nowhere:
        full.request(count=5)
        full.show(a_frame(part="washer"))
        nowhere.request(count=5)
        until(lambda: not nowhere.collector.busy.is_set(), "it is over")
        said = full.said[-1], nowhere.said[-1]

    assert [one["state"] for one in said] == ["failed", "failed"]
    assert "MB of disk free" in said[0]["detail"]
    assert str(blocked) in said[1]["detail"]


def test_a_slow_disk_holds_up_no_verdict(tmp_path: Path) -> None:
    """What finds no room in the queue is left out and counted; nobody waits."""
    desk = StationChannels(tmp_path / "collected", shots=queue.Queue(1))
    desk.request(count=5)
    for _ in range(4):
        desk.collector.offer(Shot(Accepted(a_frame(part="washer"), time.monotonic_ns()), Verdict.OK, challenge=False))
    with desk:
        said = until(lambda: [one for one in desk.said if one["taken"]], "the first image")[0]

    assert (said["taken"], said["passed_over"]) == (1, 3)


def test_a_station_collects_while_it_judges(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """Asked over MQTT: each part has its usual verdict, is put away and counted as ever, and its image is there."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        assert ask(heard, "collect", "c0") == ("rejected", "expected count, 1 to 2000, or 0 to end it, got None")
        assert ask(heard, "collect", "c1", count=2, group="shift-1") == ("done", "")
        assert ask(heard, "collect", "c2", count=2)[0] == "rejected"
        for serial, level in (("S1", 0.5), ("S2", 3.0)):
            bench.send(serial, level)
            heard.wait_for_results([serial])
        until(lambda: heard.last("collection")["state"] == "complete", "two images")
        bench.send("S3")
        results = heard.wait_for_results(["S1", "S2", "S3"])
        until(lambda: heard.last("counters")["total"] == 3, "all are counted")
    said = heard.last("collection")
    taken = sorted(path.name for path in Path(said["folder"]).rglob("*.png"))

    assert [results[serial]["verdict"] for serial in ("S1", "S2", "S3")] == ["OK", "NG", "OK"]
    assert [results[serial]["accept"] for serial in ("S1", "S2", "S3")] == [True, False, True]
    assert taken == ["S1.png", "S2.png"]
    assert (said["part"], said["by"], said["taken"], said["not_ok"]) == ("washer", "Maria", 2, 1)
    assert Path(said["folder"]).parent == tmp_path / "state" / STATION / "collected"
    assert sorted(path.name.rpartition("--")[2] for path in (bench.inbox / ".done").rglob("*.png")) == [
        "S1.png",
        "S2.png",
        "S3.png",
    ]


def test_a_stop_and_a_kill_end_it(tmp_path: Path, broker: Mosquitto, heard: Subscriber, bundle: Bundle) -> None:
    """What the broker retains must not say for ever that images are being taken; who never collects says nothing."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    with Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "ready")
        assert heard.payloads("collection") == []
        ask(heard, "collect", "c1", count=5)
        until(lambda: heard.last("collection")["state"] == "taking", "it has begun")
        assert daemon.stop() == 0
        until(lambda: heard.last("collection")["state"] == "ended", "it is over")
        daemon.start()
        until(lambda: heard.last("collection")["state"] == "none", "nothing since the start")
        until(lambda: heard.last("plc/ready") == "1", "ready again")
        ask(heard, "collect", "c2", count=5)
        until(lambda: heard.last("collection")["state"] == "taking", "it has begun again")
        daemon.kill()
        daemon.start()
        until(lambda: heard.last("collection")["state"] == "none", "nothing since the kill")


def test_nothing_comes_while_the_station_is_paused(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """And it goes on with the line."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        ask(heard, "pause", "p1")
        wait_until_not_ready(heard)
        ask(heard, "collect", "c1", count=1)
        until(lambda: heard.payloads("collection"), "it has begun")
        bench.send("S1")
        before = len(heard.payloads("plc/heartbeat"))
        until(lambda: len(heard.payloads("plc/heartbeat")) > before + 1, "a second or two")
        meanwhile = heard.last("collection")
        ask(heard, "resume", "p2")
        until(lambda: heard.last("collection")["state"] == "complete", "the image")

    assert (meanwhile["state"], meanwhile["taken"]) == ("taking", 0)


def test_a_change_of_part_ends_it(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """What comes then is another part."""
    parts = [{"name": name, "bundle": tmp_path / "bundle"} for name in ("washer", "bracket")]
    with Bench(tmp_path, broker.port, part=parts):
        wait_until_ready(heard)
        for number, part in enumerate(("bracket", "washer")):
            ask(heard, "part", f"p{number}", part=part)
            until(lambda part=part: heard.last("recipe")["active"] == part, "another part")
        assert heard.payloads("collection") == [], "nothing was collected, so there is nothing to say"
        ask(heard, "collect", "c1", count=5)
        until(lambda: heard.payloads("collection"), "it has begun")
        ask(heard, "part", "p3", part="bracket")
        until(lambda: heard.last("collection")["state"] == "ended", "the end")

    assert heard.last("collection")["detail"] == "by a change of part"


def test_a_worker_of_a_pool_collects_nothing(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """It has a share of every camera's images."""
    with Bench(tmp_path, broker.port, source={"kind": "mqtt", "pool": "press"}):
        wait_until_ready(heard)

        assert ask(heard, "collect", "c1", count=5) == (
            "rejected",
            "this station has a share of the images only: collect them where the camera is",
        )
