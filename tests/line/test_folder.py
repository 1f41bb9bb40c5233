"""The watched folder: each picture is one part, once, whatever cameras, people and file systems do to it."""

import errno
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest
from brokers import until
from factories import a_part, a_result_builder, jpeg, png
from watchdog.observers import inotify_move_event_grouper
from watchdog.observers.inotify import InotifyObserver

from edge_inspector.inspection.header import UnreadablePictureError, read_header
from edge_inspector.inspection.model import Arrival, Frame, Reason, Unreadable
from edge_inspector.line import folder as folders
from edge_inspector.line.claims import CLAIMED, DONE
from edge_inspector.line.folder import FolderSource
from edge_inspector.line.ledger import open_ledger
from edge_inspector.line.naming import printable
from edge_inspector.line.source import Accepted, Opened, SourceEvent, Trouble
from edge_inspector.settings import FolderSettings

PICTURE = png(a_part(0))


class Watching:
    """A folder source at work in its own thread; `answer` puts a picture away as a station does after its commit."""

    def __init__(self, folder: Path, **keys: Any) -> None:  # noqa: ANN401 - a test factory
        self.inbox = folder / "inbox"
        self.inbox.mkdir(exist_ok=True)
        self.ledger_file = folder / "ledger.db"
        self.events: list[SourceEvent] = []
        self.is_wanted: Callable[[], bool] = lambda: True
        self._numbers = count()
        settings: dict[str, Any] = {"settle_ms": 60_000, "scan_ms": 200, **keys}
        self.source = FolderSource(
            FolderSettings(kind="folder", path=self.inbox, **settings),
            "st1",
            lambda: "washer",
            new_id=lambda: f"{time.time_ns():x}{next(self._numbers):04}",
            open_ledger=lambda: open_ledger(self.ledger_file, lambda: "ledger-1", time.time_ns),
            monotonic_ns=time.monotonic_ns,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _wanted(self) -> bool:
        return self.is_wanted()

    def _run(self) -> None:
        with closing(self.source.events(self._wanted)) as events:
            for event in events:
                self.events.append(event)
                if self._stop.is_set():
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.events, "the source has begun")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def arrivals(self) -> list[Arrival]:
        """What was accepted, in order."""
        return [event.arrival for event in self.events.copy() if isinstance(event, Accepted)]

    @property
    def serials(self) -> list[str]:
        """The serials of what was accepted, in order."""
        return [arrival.identity.serial for arrival in self.arrivals]

    @property
    def troubles(self) -> list[str]:
        """What went wrong."""
        return [event.detail for event in self.events.copy() if isinstance(event, Trouble)]

    def wait_for(self, number: int) -> list[Arrival]:
        """Return what was accepted when that many pictures were."""
        until(lambda: len(self.arrivals) >= number, f"{number} pictures")
        return self.arrivals

    def answer(self, arrival: Arrival) -> None:
        """Commit an answer and let the picture go."""
        self.answer_only(arrival.identity.id)
        self.source.done(arrival.identity.id)

    def answer_only(self, arrival_id: str) -> None:
        """Commit an answer; the process dies before it lets the picture go."""
        with open_ledger(self.ledger_file, lambda: "ledger-1", time.time_ns) as ledger:
            ledger.record(a_result_builder(id=arrival_id), None)

    def move_in(self, name: str | bytes, content: bytes = PICTURE) -> None:
        """Write beside the folder and rename into it, as a well-behaved camera does."""
        part = self.inbox.with_name("camera.part")
        part.write_bytes(content)
        os.rename(os.fsencode(part), os.path.join(os.fsencode(self.inbox), os.fsencode(name)))  # noqa: PTH104, PTH118

    def names(self) -> list[str]:
        """What lies openly in the folder."""
        return sorted(name for name in os.listdir(self.inbox) if not name.startswith("."))  # noqa: PTH208


class Roused(Watching):
    """One that looks again only when something makes it: as time goes by, ten minutes later."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        monkeypatch.setattr(folders, "_LONGEST_WAIT_S", 600.0)
        self.source._settings = self.source._settings.model_copy(update={"scan_ms": 600_000})

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        (self.inbox / "the end").touch()
        super().__exit__()


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    """Watch a folder whose pictures move away; stillness is not waited for, so only events make them complete."""
    with Watching(tmp_path) as watching:
        until(lambda: any(isinstance(event, Opened) for event in watching.events), "the folder is open")
        yield watching


def test_a_moved_in_picture_is_claimed_at_once(watching: Watching) -> None:
    """A picture is taken by a rename before it is read: nobody else can change it afterwards."""
    watching.move_in("S1.png")

    (arrival,) = watching.wait_for(1)

    assert isinstance(arrival, Frame)
    assert arrival.image == PICTURE
    assert arrival.identity.serial == "S1"
    assert not arrival.identity.replayed
    assert watching.names() == []
    assert [path.name for path in (watching.inbox / CLAIMED).iterdir()] == [f"{arrival.identity.id}--S1.png"]


def test_the_next_picture_is_seen_at_once_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claiming is a rename as well; watchdog held later events back for half a second to pair it."""
    delays, real = [], inotify_move_event_grouper.DelayedQueue

    def spied(delay: float) -> object:
        delays.append(delay)
        return real(delay)

    monkeypatch.setattr(inotify_move_event_grouper, "DelayedQueue", spied)
    with Roused(tmp_path, monkeypatch) as watching:
        for number in range(8):
            watching.move_in(f"S{number}.png")
            watching.wait_for(number + 1)

    assert set(delays) == {0.0}


def test_a_half_written_picture_waits_until_it_is_closed(watching: Watching) -> None:
    """A camera that writes into the folder directly is waited for."""
    with (watching.inbox / "S1.png").open("wb") as file:
        file.write(PICTURE[:100])
        file.flush()
        seen = len(watching.events)
        until(lambda: len(watching.events) > seen + 3, "some looks at the folder")
        assert watching.arrivals == []
        file.write(PICTURE[100:])

    (arrival,) = watching.wait_for(1)

    assert isinstance(arrival, Frame)
    assert arrival.image == PICTURE


def test_without_events_a_growing_file_waits_until_it_is_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network share there are no events, and with too many watches none can be had: the listing must do."""

    def refuse(_observer: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(InotifyObserver, "start", refuse)
    with Watching(tmp_path, settle_ms=400, scan_ms=50) as watching:
        path = watching.inbox / "S1.png"
        for end in range(0, len(PICTURE), len(PICTURE) // 5):
            with path.open("ab") as file:
                file.write(PICTURE[end : end + len(PICTURE) // 5])
            seen = len(watching.events)
            until(lambda seen=seen: len(watching.events) > seen + 2, "two looks at the folder")

        (arrival,) = watching.wait_for(1)

    assert isinstance(arrival, Frame)
    assert arrival.image == PICTURE
    assert watching.troubles == []


def test_the_same_name_twice_is_two_parts(watching: Watching) -> None:
    """Identity is arrival: a camera that always writes `image.png` is right, too."""
    watching.move_in("image.png")
    watching.wait_for(1)
    watching.move_in("image.png")

    one, other = watching.wait_for(2)

    assert one.identity.id != other.identity.id
    watching.answer(one)
    watching.answer(other)
    assert len(list((watching.inbox / DONE).rglob("*.png"))) == 2


@pytest.mark.parametrize(
    ("name", "serial"),
    [
        (b"line\nbreak.png", "line_break"),
        (b"a+b#c.png", "a+b#c"),
        (b"caf\xe9.png", "caf_"),
        ("Schön 42.PNG".encode(), "Schön 42"),
        (b"x" * 251 + b".png", "x" * 251),
        (("ß" * 125 + ".jpg").encode(), "ß" * 125),
        (b"--.png", "--"),
        (b"$(reboot);.png", "$(reboot);"),
    ],
    ids=["newline", "topic-signs", "no-utf8", "umlaut", "255-bytes", "254-bytes-utf8", "separator", "shell"],
)
def test_every_name_is_taken_and_made_printable(watching: Watching, name: bytes, serial: str) -> None:
    """A name is somebody else's; it must neither hide a part nor break a topic, a log or a path."""
    watching.move_in(name)

    (arrival,) = watching.wait_for(1)

    assert isinstance(arrival, Frame)
    assert arrival.identity.serial == serial
    watching.answer(arrival)
    assert os.listdir(watching.inbox / CLAIMED) == []  # noqa: PTH208
    assert len(list((watching.inbox / DONE).rglob("*"))) == 2


@pytest.mark.parametrize("name", ["notes.txt", ".hidden.png", "Thumbs.db", "S1.png.part", "S1"])
def test_what_is_not_named_like_a_picture_is_left_alone(watching: Watching, name: str) -> None:
    """Cameras write logs and partial files beside their pictures."""
    watching.move_in(name)
    watching.move_in("after.png")

    watching.wait_for(1)

    assert watching.serials == ["after"]
    assert (watching.inbox / name).exists()


def make_folder(path: Path) -> None:
    """Make a folder with something in it."""
    path.mkdir()
    (path / "inner.png").write_bytes(PICTURE)


@pytest.mark.parametrize(
    "make",
    [
        make_folder,
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to(path.parent / "nowhere"),
        os.mkfifo,
    ],
    ids=["folder", "link", "dangling-link", "fifo"],
)
@pytest.mark.parametrize("after", ["move", "delete"])
def test_what_is_no_file_is_answered_and_never_opened(tmp_path: Path, make: Callable[[Path], None], after: str) -> None:
    """A link could lead to anything and a pipe would hang the station; the part still gets its INVALID."""
    with Watching(tmp_path, settle_ms=0, after=after) as watching:
        make(watching.inbox / "odd.png")
        (arrival,) = watching.wait_for(1)
        watching.move_in("after.png")
        watching.wait_for(2)
        watching.answer(arrival)

    assert isinstance(arrival, Unreadable)
    assert arrival.reason is Reason.NOT_A_FILE
    assert watching.serials == ["odd", "after"]
    assert watching.troubles == []
    assert not [name for name in os.listdir(watching.inbox / CLAIMED) if "odd" in name]  # noqa: PTH208
    assert Path("/etc/passwd").exists()


def header_bomb() -> bytes:
    """Return a JPEG of a few hundred bytes that claims 20,000 x 20,000 pixels."""
    content = bytearray(jpeg(a_part(0)[:16, :16]))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\x4e\x20\x4e\x20"
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.EMPTY),
        (jpeg(a_part(0))[:-1000], Reason.TRUNCATED),
        (PICTURE[:-1000], Reason.TRUNCATED),
        (b"this is a text file, somebody renamed it", Reason.NOT_A_PICTURE),
        (header_bomb(), Reason.TOO_LARGE),
    ],
    ids=["empty", "truncated-jpeg", "truncated-png", "text", "bomb"],
)
def test_bad_content_is_passed_on_whole(watching: Watching, content: bytes, reason: Reason) -> None:
    """The folder judges nothing: what the file holds is the inspector's business, and it will say INVALID."""
    watching.move_in("bad.jpg", content)

    (arrival,) = watching.wait_for(1)

    assert isinstance(arrival, Frame)
    assert isinstance(arrival.image, bytes)
    with pytest.raises(UnreadablePictureError) as refused:
        read_header(arrival.image)
    assert refused.value.reason is reason


def test_a_picture_that_cannot_be_read_is_answered(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector or a share that drops is an ERROR of that part, not of the station."""
    read_bytes = Path.read_bytes

    def fail(path: Path) -> bytes:
        if "bad" in path.name:
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    watching.move_in("bad.png")
    watching.wait_for(1)
    watching.move_in("good.png")

    bad, good = watching.wait_for(2)

    assert isinstance(bad, Unreadable)
    assert (bad.reason, bad.detail) == (Reason.UNREADABLE, "Input/output error")
    assert isinstance(good, Frame)


@pytest.mark.parametrize(("size", "reason"), [(10**12, Reason.TOO_LARGE), (10**9, Reason.UNREADABLE)])
def test_a_file_that_the_memory_cannot_hold_is_answered(watching: Watching, size: int, reason: Reason) -> None:
    """The program would end reading it, and end again at each start."""
    large = watching.inbox.with_name("large.png")
    large.touch()
    os.truncate(large, size)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 500_000_000, limits[1]))
    try:
        large.rename(watching.inbox / "large.png")
        (arrival,) = watching.wait_for(1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)

    assert isinstance(arrival, Unreadable)
    assert arrival.reason is reason


def test_what_was_claimed_is_judged_at_the_next_start(tmp_path: Path) -> None:
    """Killed between claim and answer, the part keeps its id and still gets its answer; no PLC waits for it now."""
    with Watching(tmp_path) as killed:
        killed.move_in("S1.png")
        (before,) = killed.wait_for(1)

    with Watching(tmp_path) as again:
        (after,) = again.wait_for(1)

    assert after.identity.id == before.identity.id
    assert after.identity.serial == "S1"
    assert after.identity.replayed
    assert isinstance(after, Frame)
    assert after.image == PICTURE


def test_what_was_answered_is_put_away_at_the_next_start(tmp_path: Path) -> None:
    """Killed between answer and move, the part is not answered twice."""
    with Watching(tmp_path) as killed:
        killed.move_in("S1.png")
        (arrival,) = killed.wait_for(1)
        killed.answer_only(arrival.identity.id)

    with Watching(tmp_path) as again:
        again.move_in("S2.png")
        again.wait_for(1)

    assert again.serials == ["S2"]
    assert [path.name for path in (again.inbox / DONE).rglob("*.png")] == [f"{arrival.identity.id}--S1.png"]


def test_pictures_that_waited_before_the_start_are_for_the_record(tmp_path: Path) -> None:
    """The line went on meanwhile: they are judged, but no PLC may act on them."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "old.png").write_bytes(PICTURE)
    with Watching(tmp_path, settle_ms=50) as watching:
        watching.wait_for(1)
        watching.move_in("new.png")

        old, new = watching.wait_for(2)

    assert old.identity.replayed
    assert not new.identity.replayed


def test_a_folder_that_goes_away_and_comes_back(watching: Watching) -> None:
    """A share that drops is waited for, seen in health, and the next picture is taken again."""
    gone = watching.inbox.with_name("gone")
    watching.inbox.rename(gone)
    until(lambda: watching.troubles, "trouble is reported")
    gone.rename(watching.inbox)
    until(lambda: [event for event in watching.events if isinstance(event, Opened)][1:], "open again")

    watching.move_in("S1.png")

    watching.wait_for(1)
    assert watching.serials == ["S1"]
    assert "No such file" in watching.troubles[0]


def test_a_folder_made_anew_is_watched_anew(watching: Watching) -> None:
    """Somebody tidies up, `.claimed` and all, between two looks: the station must not go blind without a word."""
    watching.move_in("S0.png")
    (arrival,) = watching.wait_for(1)
    watching.answer(arrival)
    (watching.inbox / CLAIMED).rmdir()

    watching.move_in("S1.png")

    until(lambda: "S1" in watching.serials or (watching.inbox / CLAIMED).is_dir(), "the folder is opened again")
    watching.move_in("S2.png")
    until(lambda: "S2" in watching.serials, "the picture after it")


@pytest.mark.parametrize(("after", "openly", "done"), [("move", [], 1), ("delete", [], 0), ("keep", ["S1.png"], 0)])
def test_a_judged_picture_is_moved_deleted_or_kept(tmp_path: Path, after: str, openly: list[str], done: int) -> None:
    """As the settings say."""
    with Watching(tmp_path, after=after) as watching:
        watching.move_in("S1.png")
        (arrival,) = watching.wait_for(1)
        watching.answer(arrival)

    assert watching.names() == openly
    assert len(list((watching.inbox / DONE).rglob("*.png"))) == done
    assert not list((watching.inbox / CLAIMED).glob("*"))


def test_a_kept_picture_is_one_part_over_restarts(tmp_path: Path) -> None:
    """On a read-only share nothing can be claimed: name, size and time say whether it was judged already."""
    with Watching(tmp_path, after="keep") as first:
        first.move_in("S1.png")
        (arrival,) = first.wait_for(1)
        first.answer(arrival)
        first.move_in("S2.png")
        first.wait_for(2)

    with Watching(tmp_path, after="keep", settle_ms=50) as again:
        (second,) = again.wait_for(1)
        again.answer(second)
        again.move_in("S1.png", PICTURE + b"changed")
        again.wait_for(2)

    assert second.identity.id == first.arrivals[1].identity.id
    assert again.serials == ["S2", "S1"]
    assert again.arrivals[1].identity.id != arrival.identity.id


def test_nothing_is_taken_while_nothing_is_wanted(watching: Watching) -> None:
    """While the queue is full or the station paused, pictures stay where they are safe."""
    watching.is_wanted = lambda: False
    watching.move_in("S1.png")
    seen = len(watching.events)
    until(lambda: len(watching.events) > seen + 3, "some looks at the folder")
    before = watching.names()

    watching.is_wanted = lambda: True

    watching.wait_for(1)
    assert before == ["S1.png"]


def test_two_thousand_pictures_at_once_come_in_order(tmp_path: Path) -> None:
    """After a long stop a camera empties its buffer: each picture once, oldest first, and without idling between."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(2000):
        (inbox / f"S{number:04}.png").write_bytes(b"x")
        os.utime(inbox / f"S{number:04}.png", ns=(number, number))
    taken: list[int] = []
    with Watching(tmp_path, settle_ms=0, scan_ms=1000) as watching:
        watching.wait_for(2000)
        taken.extend(int(serial[1:]) for serial in watching.serials)

    assert taken == list(range(2000))
    assert len({arrival.identity.id for arrival in watching.arrivals}) == 2000


def test_a_full_queue_is_waited_for_no_longer_than_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a backlog the station works at its own pace; a queue of 16 once meant 16 parts at each look."""
    with Roused(tmp_path, monkeypatch) as watching:
        watching.is_wanted = lambda: False
        for number in range(100):
            watching.move_in(f"S{number:04}.png", b"x")
        looked, judged = time.monotonic(), 0.0

        def has_room() -> bool:
            nonlocal judged, looked
            now, taken = time.monotonic(), len(watching.arrivals)
            judged, looked = min(taken, judged + 200 * (now - looked)), now
            return taken - judged < 16

        watching.is_wanted = has_room
        watching.wait_for(100)


def test_room_in_the_queue_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that was full when the folder was looked at was asked again a second later: bursts starved the line."""
    with Roused(tmp_path, monkeypatch) as watching:
        for number in range(5):
            watching.is_wanted = lambda: False
            watching.move_in(f"S{number}.png")
            seen = len(watching.events)
            until(lambda seen=seen: len(watching.events) > seen + 2, "the folder was looked at, and is waited for")
            watching.is_wanted = lambda: True
            watching.wait_for(number + 1)


def test_printable_is_printable() -> None:
    """Whatever bytes a name is made of, what is published is text."""
    for raw in range(256):
        made = printable(os.fsdecode(bytes([65, raw, 66])))

        made.encode()
        assert made.isprintable()


def test_subfolders_say_what_they_are_named_for(tmp_path: Path) -> None:
    """A camera PC that makes a folder for each part and lot needs nothing more; judged pictures keep their place."""
    with Watching(tmp_path, subfolders=("part", "lot"), settle_ms=50) as watching:
        (watching.inbox / "nut" / "lot--7").mkdir(parents=True)
        watching.move_in("nut/lot--7/S1.png")
        (arrival,) = watching.wait_for(1)
        watching.answer(arrival)
    identity = arrival.identity

    assert isinstance(arrival, Frame)
    assert (identity.part, identity.lot, identity.serial) == ("nut", "lot--7", "S1")
    (done,) = (watching.inbox / DONE).rglob("*.png")
    assert done.parts[-3:-1] == ("nut", "lot--7")


@pytest.mark.parametrize("name", ["S1.png", "nut/S1.png"])
def test_a_picture_in_the_wrong_place_is_answered(tmp_path: Path, name: str) -> None:
    """Nobody would ever look at it there: silence is no answer."""
    with Watching(tmp_path, subfolders=("part", "lot"), settle_ms=50) as watching:
        (watching.inbox / "nut").mkdir()
        watching.move_in(name)
        (arrival,) = watching.wait_for(1)

    assert isinstance(arrival, Unreadable)
    assert arrival.reason is Reason.BAD_NAME
    assert "expected part/lot" in arrival.detail


def test_a_picture_waits_for_its_sidecar(tmp_path: Path) -> None:
    """Whichever of the two is written first; the sidecar is put away with the picture."""
    with Watching(tmp_path, sidecar_ms=60_000) as watching:
        watching.move_in("S1.png")
        looks = len(watching.events)
        until(lambda: len(watching.events) > looks + 3, "some looks at the folder")
        before = watching.arrivals
        watching.move_in("S1.json", b'{"part": "nut", "serial": 4711, "group": "g1"}')
        (arrival,) = watching.wait_for(1)
        watching.answer(arrival)
    identity = arrival.identity

    assert before == []
    assert (identity.part, identity.serial, identity.group) == ("nut", "4711", "g1")
    assert watching.names() == []
    assert len(list((watching.inbox / DONE).rglob("*S1.json"))) == 1


def test_a_sidecar_that_never_comes_is_an_answer(tmp_path: Path) -> None:
    """INVALID: which part it is, nobody said."""
    with Watching(tmp_path, sidecar_ms=100, scan_ms=50) as watching:
        watching.move_in("S1.png")
        (arrival,) = watching.wait_for(1)

    assert isinstance(arrival, Unreadable)
    assert (arrival.reason, arrival.identity.serial) == (Reason.BAD_NAME, "S1")


def test_what_names_a_part_outlives_a_kill(tmp_path: Path) -> None:
    """Sub-folder, name and sidecar are all there again when the picture is judged after a restart."""
    keys: dict[str, Any] = {"subfolders": ("lot",), "sidecar_ms": 60_000, "settle_ms": 50}
    with Watching(tmp_path, **keys) as first:
        (first.inbox / "L7").mkdir()
        first.move_in("L7/S1.json", b'{"part": "nut"}')
        first.move_in("L7/S1.png")
        (arrival,) = first.wait_for(1)
    with Watching(tmp_path, **keys) as again:
        (same,) = again.wait_for(1)
        again.answer(same)
    named = [(one.identity.id, one.identity.part, one.identity.lot, one.identity.serial) for one in (arrival, same)]

    assert named[0] == named[1]
    assert named[0][1:] == ("nut", "L7", "S1")
    assert [path for path in (again.inbox / CLAIMED).rglob("*") if path.is_file()] == []
