"""sd_notify without a library."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_inspector.line.station.systemd import notify, watchdog_seconds


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    """Give a datagram socket as systemd has one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(5)
        yield channel


def test_a_socket_in_the_file_system_is_told(systemd: socket.socket, tmp_path: Path) -> None:
    """`/run/systemd/notify` is the usual address."""
    systemd.bind(str(tmp_path / "notify"))

    sent = notify({"NOTIFY_SOCKET": str(tmp_path / "notify")}, "READY=1", "STATUS=running")

    assert sent
    assert systemd.recv(1000) == b"READY=1\nSTATUS=running"


def test_an_abstract_socket_is_told(systemd: socket.socket) -> None:
    """Containers use addresses that begin with an at sign."""
    systemd.bind("")

    sent = notify({"NOTIFY_SOCKET": "@" + systemd.getsockname()[1:].decode()}, "READY=1")

    assert sent
    assert systemd.recv(1000) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_systemd_nothing_is_told(environment: dict[str, str]) -> None:
    """Run by hand, the daemon is quiet."""
    assert not notify(environment, "READY=1")


def test_a_socket_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    """A service must not die of its log."""
    assert not notify({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, "READY=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_this_process_only(environment: dict[str, str], seconds: float | None) -> None:
    """A child that inherits the environment must not feed its parent's watchdog."""
    assert watchdog_seconds(environment) == seconds


def test_a_manager_that_does_not_read_does_not_stop_the_service(systemd: socket.socket, tmp_path: Path) -> None:
    """Its queue is full: the word is lost, the next one comes in a second."""
    systemd.bind(str(tmp_path / "notify"))
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    sent = 0
    while notify(environment, "x" * 1000):
        sent += 1

        assert sent < 100_000
    while sent:
        systemd.recv(2000)
        sent -= 1

    assert notify(environment, "WATCHDOG=1")
