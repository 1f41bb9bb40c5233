"""A real mosquitto with a private configuration on 127.0.0.1, and `until`, the polite way to wait for anything."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

Found = TypeVar("Found")


PATIENCE_S = 120.0
"""How long a test waits for what must come; a busy machine is slow, and only a fault makes it wait so long."""


def until(look: Callable[[], Found], what: str, seconds: float = PATIENCE_S) -> Found:
    """Call `look` until it returns something true and return that; fail after `seconds`, saying `what` never came."""
    found = comes(look, seconds)
    if not found:
        raise AssertionError(f"waited {seconds} s in vain for: {what}")
    return found


def comes(look: Callable[[], Found], seconds: float) -> Found:
    """Call `look` until it returns something true, or the last time after `seconds`; return what it said then."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Say whether somebody accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find_mosquitto() -> str | None:
    """Return the mosquitto program, or None; Debian installs it where ordinary users do not look."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Mosquitto:
    """One broker in one folder; `start`, `kill` and `start` again keep the port, and nothing retained survives."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true") -> None:
        self.folder = folder
        self.extra = extra
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the broker and return when it accepts connections."""
        program = find_mosquitto()
        if program is None:
            raise FileNotFoundError("mosquitto is not installed")
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "set_tcp_nodelay true", self.extra]
        if getpass.getuser() == "root":
            lines.append("user root")
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(configuration)], stdout=log, stderr=log)
        until(lambda: answers(self.port), "mosquitto accepts connections")
        return self

    def kill(self) -> None:
        """End the broker as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send the broker a signal: SIGUSR1 saves its persistence file, SIGSTOP freezes it."""
        assert self._process is not None
        self._process.send_signal(number)

    def save(self) -> None:
        """Save sessions and what is retained; a broker made by `lasting` finds them again at its next start."""
        self.signal(signal.SIGUSR1)
        until((self.folder / "mosquitto.db").exists, "the broker has saved its sessions")

    def stop(self) -> None:
        """End the broker as systemd would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def __enter__(self) -> Self:
        """Start the broker."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the broker."""
        self.stop()


def lasting(folder: Path) -> Mosquitto:
    """Return a broker that starts with what `save` saved, and holds any number of messages for who is away."""
    return Mosquitto(
        folder,
        f"allow_anonymous true\npersistence true\npersistence_location {folder}/\nautosave_interval 0\n"
        "max_inflight_messages 0\nmax_queued_messages 0",
    )
