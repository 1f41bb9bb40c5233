"""Talk to systemd: one datagram, no library (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping

_PATIENCE_S = 0.5


def notify(environment: Mapping[str, str], *fields: str) -> bool:
    """Send fields such as `READY=1`; False when not run by systemd. Never raises: a service must not die of its log."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE_S)  # a manager that does not read must not stop the service
            channel.connect(address)
            channel.sendall("\n".join(fields).encode())
    except OSError:
        return False
    return True


def watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return how often systemd wants to hear from this process, None where it does not watch."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        process = int(environment.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and process == os.getpid() else None
