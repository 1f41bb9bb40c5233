"""Cameras that send, and workers that share what they send: settings, and a line that is judged by several PCs."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from brokers import until
from daemons import Daemon, Subscriber, drop
from factories import a_part, png

POOL = "press"
CAMERA = "cam-1"
SENT = f"edge-inspector/v1-pictures/{POOL}/{CAMERA}"


def write_worker(folder: Path, name: str, *, bundle: Path, port: int, keys: str = "") -> Path:
    """Write the settings of a daemon that judges its share of the pool's pictures, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "settings.toml"
    config.write_text(
        f'state_dir = "state"\n[ledger]\nreserve_mb = 1\nalarm_free_mb = 1\n[mqtt]\nport = {port}\n'
        f'[[station]]\nname = "{name}"\nthreads = 1\ndeadline_ms = 20000\nthumbs = "none"\n{keys}\n'
        f'[station.source]\nkind = "mqtt"\npool = "{POOL}"\n'
        f'[[station.part]]\nname = "washer"\nbundle = "{bundle}"\n'
    )
    return config


def write_camera(folder: Path, *, port: int, keys: str = "", source: str = 'kind = "folder"\npath = "inbox"') -> Path:
    """Write the settings of a PC that sends the pictures in `folder`/inbox, and return the file."""
    (folder / "inbox").mkdir(parents=True, exist_ok=True)
    config = folder / "camera.toml"
    config.write_text(
        f'name = "{CAMERA}"\npool = "{POOL}"\nstate_dir = "state"\n{keys}\n[mqtt]\nport = {port}\n[source]\n{source}\n'
    )
    return config


@dataclass(slots=True)
class Listener:
    """SCADA, which hears a camera's results, whoever judged."""

    subscriber: Subscriber
    ids: set[str] = field(default_factory=set)
    _read: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    judges: Counter[str] = field(default_factory=Counter)
    serials: set[str] = field(default_factory=set)

    def look(self) -> Self:
        """Take in what came since the last look; a result whose id is known is dropped."""
        payloads = self.subscriber.payloads("result")
        for payload in payloads[self._read :]:
            result: dict[str, Any] = json.loads(payload)
            if result["id"] not in self.ids:
                self.ids.add(result["id"])
                self.serials.add(result["serial"])
                self.verdicts[result["verdict"]] += 1
                self.judges[result["station"]] += 1
        self._read = len(payloads)
        return self

    def wait_for(self, count: int, seconds: float) -> Self:
        """Return when so many parts have their result."""
        until(lambda: len(self.look().ids) >= count, f"{count} results; {len(self.ids)} came", seconds)
        return self


@dataclass(frozen=True, slots=True)
class Fleet:
    """A camera, and workers in processes of their own."""

    folder: Path
    camera: Daemon
    workers: tuple[Daemon, ...]
    scada: Listener

    def send(self, count: int, *, first: int = 0, picture: bytes = b"", ending: str = ".png") -> None:
        """Put pictures of drawn parts, or all the same `picture`, into the camera's folder."""
        content = picture or png(a_part(1))
        for number in range(first, first + count):
            drop(self.folder / "inbox", f"part-{number:05d}{ending}", content)


@contextmanager
def fleet(folder: Path, *, bundle: Path, port: int, workers: int, keys: str = "resend_s = 3") -> Iterator[Fleet]:
    """Run a camera and its workers until the block ends; yield when all are ready."""
    with ExitStack() as stack:
        names = [f"worker-{number + 1}" for number in range(workers)]
        daemons = [
            stack.enter_context(Daemon(write_worker(folder / name, name, bundle=bundle, port=port)).launch())
            for name in names
        ]
        listener = stack.enter_context(Subscriber(port, base=SENT, only="result"))
        for name in names:
            with Subscriber(port, base=f"edge-inspector/v1/{name}", only="plc/ready") as one:
                until(lambda one=one: one.last("plc/ready") == "1", f"{name} is ready")  # type: ignore[misc]
        camera = stack.enter_context(Daemon(write_camera(folder, port=port, keys=keys), program="camera"))
        camera.start()
        yield Fleet(folder, camera, tuple(daemons), Listener(listener))
