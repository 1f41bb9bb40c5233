"""The process of a PC that has a camera and no bundle: takes images, keeps them, sends them."""

import logging
import queue
import threading
from collections.abc import Callable

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.link import Inbox
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.pool.sender import Intake, Sender
from edge_inspector.line.pool.spool import Spool, spooled
from edge_inspector.line.process import SOFTWARE, crash_watch, ended_by_signals, locked
from edge_inspector.line.sources.judged_images import Housekeeper, judged_of
from edge_inspector.line.sources.opening import open_source
from edge_inspector.line.sources.source import Source
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import CameraSettings, CaptureSettings, OwnSettings

logger = logging.getLogger(__name__)

_JOIN_S = 5.0


def send_images(settings: CameraSettings, environment: Environment, tell: Callable[..., object]) -> int:
    """Send until SIGTERM or SIGINT and return the exit status; `tell` is systemd's ear.

    Raises:
        SettingsError: another one uses the same state folder.
        DiskError: the state folder cannot be written.
    """
    stop, crashed = threading.Event(), threading.Event()
    with locked(settings.state_dir), ended_by_signals(stop, queue.SimpleQueue()), crash_watch(crashed, stop):
        worker = Worker("camera", stop, queue.SimpleQueue(), environment.monotonic_ns)
        stages: list[Callable[[], None]] = []
        source = settings.source
        if isinstance(source, CaptureSettings):
            folder = settings.state_dir / "spool"
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise DiskError(f"{folder}: {error.strerror}") from error
            stages.append(Spool(_open(settings, source, environment, stop), folder, worker).run)
            source = spooled(folder)
        images = _open(settings, source, environment, stop)
        room: queue.Queue[None] = queue.Queue(settings.in_flight)
        inbox: Inbox = queue.SimpleQueue()
        judged = judged_of(source)
        if judged is not None:
            stages.append(Housekeeper(judged, settings.state_dir, worker, environment.now_ns).run)
        stages.append(Intake(images, room, inbox, worker).run)
        threads = [threading.Thread(target=stage, name="images", daemon=True) for stage in stages]
        for thread in threads:
            thread.start()
        tell("READY=1", "STATUS=running")
        logger.warning("READY: camera %s, pool %s", settings.name, settings.pool)
        Sender(settings, inbox=inbox, room=room, done=images.done, worker=worker, rng=environment.rng).run()
        tell("STOPPING=1")
        for thread in threads:
            thread.join(_JOIN_S)
    return SOFTWARE if crashed.is_set() else 0


def _open(settings: CameraSettings, source: OwnSettings, environment: Environment, stop: threading.Event) -> Source:
    """Return where a camera's images come from; its ledger stays empty, results are the workers'."""

    def wait(seconds: float) -> None:
        stop.wait(seconds)

    return open_source(
        source,
        settings.name,
        str,  # which part it is the images say, or the worker knows
        environment=environment,
        open_ledger=lambda: open_ledger(settings.state_dir / "ledger.db", environment.new_id, environment.now_ns),
        wait=wait,
    )
