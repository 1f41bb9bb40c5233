"""Several pictures of one part make one verdict, the worst; a view that does not come makes it INVALID."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Subscriber, drop, write_settings
from factories import a_judgement, a_part, a_result_builder, an_identity, png
from stations import Bench

from edge_inspector.bundle import Bundle
from edge_inspector.engines.openvino import GraphCache
from edge_inspector.inspection.inspector import Inspection
from edge_inspector.inspection.model import Frame, Reason, Unreadable, Verdict, Views
from edge_inspector.inspection.worst import worst_of
from edge_inspector.line.daemon import open_parts
from edge_inspector.line.ledger import Ledger, open_ledger
from edge_inspector.line.naming import Names
from edge_inspector.line.source import Accepted
from edge_inspector.line.views import Assembly
from edge_inspector.settings import Settings

MS = 1_000_000
VIEWS = {"washer": ("top", "side", "back")}


class Table:
    """An assembly whose clock a test turns, and a ledger."""

    def __init__(self, folder: Path) -> None:
        self.now_ns = 0
        self.ledger: Ledger = open_ledger(folder / "ledger.db", lambda: "ledger-1", time.time_ns)
        self.assembly = Assembly(VIEWS, 2000 * MS, lambda: self.now_ns)
        self._number = 0

    def show(self, serial: str, view: str, **changes: Any) -> list[Accepted]:  # noqa: ANN401 - a test factory
        """Put a picture on the table as a source does and return what can be judged."""
        self._number += 1
        part = changes.get("part", "washer")
        identity = an_identity(
            **{"id": self.joins(serial, view, part) or f"a{self._number}", "serial": serial, "view": view, **changes}
        )
        return list(self.assembly.add(Accepted(Frame(identity, b""), self.now_ns)))

    def joins(self, serial: str, view: str, part: str = "washer") -> str:
        """Return the arrival that a picture would belong to."""
        return self.assembly.joins(self.ledger, Names(part=part, serial=serial, view=view))

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.__exit__()


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    """Set up an assembly of washers with three views."""
    table = Table(tmp_path)
    yield table
    table.close()


def views_of(accepted: Accepted) -> dict[str, Frame | Unreadable]:
    """Return a part's pictures by view."""
    assert isinstance(accepted.arrival, Views)
    return {picture.identity.view: picture for picture in accepted.arrival.pictures}


def test_a_part_is_judged_when_all_its_views_are_there(table: Table) -> None:
    """In any order, mixed with other parts; the answer's id is the first picture's."""
    assert table.show("S1", "side") == []
    assert table.show("S2", "top") == []
    assert table.show("S1", "back") == []
    (part,) = table.show("S1", "top")

    assert part.arrival.identity.id == "a1"
    assert sorted(views_of(part)) == ["back", "side", "top"]
    assert table.show("S2", "side") == []
    assert len(table.show("S2", "back")) == 1


def test_a_part_without_views_goes_straight_through(table: Table) -> None:
    """A station may inspect both kinds."""
    (accepted,) = table.show("S1", "", part="nut")

    assert isinstance(accepted.arrival, Frame)


def test_a_missing_view_is_invalid(table: Table) -> None:
    """The time runs from the first picture; before it is over nothing is said."""
    table.show("S1", "top")
    table.now_ns = 1999 * MS
    early = list(table.assembly.overdue())
    table.now_ns = 2000 * MS
    (part,) = table.assembly.overdue()

    assert early == []
    missing = views_of(part)["side+back"]
    assert isinstance(missing, Unreadable)
    assert missing.reason is Reason.MISSING_VIEW
    assert list(table.assembly.overdue()) == []


@pytest.mark.parametrize("answered", [False, True], ids=["in the queue", "in the ledger, after a restart"])
def test_a_view_that_comes_after_its_part_is_no_other_part(table: Table, *, answered: bool) -> None:
    """It has its answer; a view that had come begins the part anew: somebody has put it on the line again."""
    table.show("S1", "top")
    table.show("S1", "side")
    table.now_ns = 2000 * MS
    (part,) = table.assembly.overdue()
    if answered:
        build = a_result_builder(id="a1", serial="S1", view="back", reason=Reason.MISSING_VIEW)
        table.ledger.record(build, None)
        table.assembly = Assembly(VIEWS, 2000 * MS, lambda: table.now_ns)

    assert (
        table.assembly.joins(table.ledger, Names(part="washer", serial="S1", view="back")) == part.arrival.identity.id
    )
    assert table.assembly.joins(table.ledger, Names(part="washer", serial="S1", view="top")) == ""
    assert table.assembly.joins(table.ledger, Names(part="washer", serial="S2", view="back")) == ""


def test_a_picture_that_cannot_be_placed_is_answered(table: Table) -> None:
    """Without a serial it belongs to nobody; an unknown view belongs to its part and spoils it."""
    (alone,) = table.show("", "top")
    table.show("S1", "tpo")
    table.show("S1", "top")
    table.show("S1", "side")
    (part,) = table.show("S1", "back")

    assert isinstance(alone.arrival, Unreadable)
    assert alone.arrival.reason is Reason.BAD_NAME
    wrong = views_of(part)["tpo"]
    assert isinstance(wrong, Unreadable)
    assert "known are top, side, back" in wrong.detail


def test_a_part_of_which_one_picture_waited_is_for_the_record(table: Table) -> None:
    """No PLC waits for a part that was there before the start."""
    table.show("S1", "top", replayed=True)
    table.show("S1", "side")
    (part,) = table.show("S1", "back")

    assert part.arrival.identity.replayed


@pytest.mark.parametrize(
    ("reasons", "worst"),
    [
        ((Reason.WITHIN_LIMIT, Reason.WITHIN_LIMIT), Verdict.OK),
        ((Reason.WITHIN_LIMIT, Reason.NEAR_LIMIT), Verdict.REVIEW),
        ((Reason.DEFECT, Reason.NEAR_LIMIT), Verdict.NG),
        ((Reason.DEFECT, Reason.MISSING_VIEW), Verdict.INVALID),
        ((Reason.EXCEPTION, Reason.MISSING_VIEW), Verdict.ERROR),
    ],
)
def test_the_worst_view_decides(reasons: tuple[Reason, ...], worst: Verdict) -> None:
    """In whatever order they are looked at; the highest score stays visible."""
    scores = (0.5, 1.5)
    looks = [
        (str(reason.number), Inspection(a_judgement(reason, score=score), None, ()))
        for reason, score in zip(reasons, scores, strict=True)
    ]
    (view, one), (again, other) = worst_of(looks), worst_of(looks[::-1])

    assert one.judgement.verdict is other.judgement.verdict is worst
    assert one.judgement.score == other.judgement.score == 1.5
    assert one.judgement.detail.startswith(f"view {view}: ")
    assert worst is Verdict.OK or view == again


@pytest.mark.parametrize(
    ("source", "view", "said"),
    [
        ({"kind": "capture", "device": "0"}, ["a", "b"], "views need a folder source"),
        ({"kind": "folder", "path": "in", "after": "keep"}, ["a", "b"], "views need a folder source"),
        ({"kind": "folder", "path": "in"}, ["a"], "expected no view, or several"),
        ({"kind": "folder", "path": "in"}, ["a", "a"], "expected no view, or several"),
    ],
)
def test_views_that_cannot_work_are_a_settings_error(source: dict[str, Any], view: list[str], said: str) -> None:
    """Found before the first part, not at the first missing picture."""
    part = {"name": "washer", "bundle": "b", "view": [{"name": name} for name in view]}
    with pytest.raises(ValueError, match=said):
        Settings(station=({"name": "st1", "source": source, "part": [part]},))


def test_a_view_may_have_a_bundle_of_its_own(bundle: Bundle, tmp_path: Path) -> None:
    """Top and side look different; the part is ready only when all its bundles are, and its golden check is all."""
    source = {"kind": "folder", "path": tmp_path}
    view = [{"name": "top"}, {"name": "side", "bundle": bundle.path}]
    parts = [
        {"name": "washer", "bundle": bundle.path, "view": view},
        {"name": "nut", "bundle": bundle.path, "view": [{"name": "top"}, {"name": "side", "bundle": tmp_path / "no"}]},
    ]
    settings = Settings(station=({"name": "st1", "source": source, "part": parts},), state_dir=tmp_path)
    _, lines = open_parts(settings, settings.station[0], GraphCache())
    washer, nut = lines["washer"], lines["nut"]

    assert washer.for_view("top") is washer
    assert washer.for_view("side") is not washer
    assert washer.for_view("side").inspector is not None
    assert washer.golden() == ()
    assert nut.inspector is None
    assert str(tmp_path / "no") in nut.why_not


def test_a_station_answers_a_part_with_views_once(broker: Mosquitto, tmp_path: Path) -> None:
    """One NG view among two is NG, says which view, and a part whose side never comes is INVALID."""
    part = {"name": "washer", "bundle": tmp_path / "bundle", "view": [{"name": "top"}, {"name": "side"}]}
    pattern = r"^(?P<serial>\w+)_(?P<view>\w+)$"
    source = {"kind": "folder", "path": tmp_path / "inbox", "settle_ms": 50, "scan_ms": 50, "name_pattern": pattern}
    with (
        Subscriber(broker.port) as heard,
        Bench(tmp_path, broker.port, part=[part], source=source, views_ms=1000) as bench,
    ):
        bench.level = 1.5
        for name in ("S1_top", "S2_top", "S2_side"):
            drop(bench.inbox, f"{name}.png", png(a_part(0)))
        results = heard.wait_for_results(["S1", "S2"])
        drop(bench.inbox, "S1_side.png", png(a_part(0)))
        until(lambda: not list(bench.inbox.rglob(".claimed/*.png")), "the late view is put away")
        until(lambda: len(list(bench.inbox.rglob(".done/*/*.png"))) == 4, "all pictures are put away")

    assert (results["S2"]["verdict"], results["S2"]["reason"][:5]) == ("NG", "view ")
    assert (results["S1"]["verdict"], results["S1"]["view"]) == ("INVALID", "side")
    assert Counter(result["serial"] for result in heard.results) == {"S1": 1, "S2": 1}


def test_a_part_with_views_has_one_answer_over_kills(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """The daemon is killed three times among the views of 30 parts; every third part loses one for good."""
    rng = Random(8)  # noqa: S311 - a test's chance
    config = write_settings(
        tmp_path,
        bundle=bundle.path,
        port=broker.port,
        source="kind = 'folder'\npath = 'inbox'\nname_pattern = '^(?P<serial>.+)_(?P<view>.+)$'",
        station_keys="deadline_ms = 60000\nviews_ms = 4000",
    )
    views = "".join(f'[[station.part.view]]\nname = "{view}"\n' for view in ("top", "side"))
    config.write_text(config.read_text() + views)
    serials = [f"S{number:02}" for number in range(30)]
    with Daemon(config) as daemon, Subscriber(broker.port, session="scada") as scada:
        for batch in range(3):
            daemon.launch()
            for serial in serials[10 * batch : 10 * batch + 10]:
                drop(tmp_path / "inbox", f"{serial}_top.png", png(a_part(1000 + int(serial[1:]))))
                if int(serial[1:]) % 3:
                    drop(tmp_path / "inbox", f"{serial}_side.png", png(a_part(2000 + int(serial[1:]))))
            until((tmp_path / "inbox" / ".claimed").exists, "the daemon takes pictures")
            wanted = 10 * batch + rng.randrange(1, 6)
            until(lambda wanted=wanted: len(scada.by_serial()) >= wanted, "some answers")
            daemon.kill()
        daemon.start()
        results = scada.wait_for_results(serials)
    ids = {serial: {result["id"] for result in scada.results if result["serial"] == serial} for serial in serials}

    assert {len(found) for found in ids.values()} == {1}
    judged = {serial: one for serial, one in results.items() if one["reason_code"] != Reason.CRASHED.number}
    assert len(judged) >= len(serials) - 3
    for serial, result in judged.items():
        missing = int(serial[1:]) % 3 == 0
        assert (result["reason_code"] == Reason.MISSING_VIEW.number) == missing, result
