"""A real RTSP server on 127.0.0.1 (GStreamer's, under the system's Python), and sockets that only pretend to be one."""

import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from brokers import PATIENCE_S, answers, free_port, until

_PYTHON = "/usr/bin/python3"
"""Debian's: python3-gi is no wheel."""
_ELEMENTS = ("multifilesrc", "pngdec", "jpegenc", "rtpjpegpay")
_SERVER = f"""
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
missing = [name for name in {_ELEMENTS!r} if Gst.ElementFactory.find(name) is None]
if missing:
    sys.exit("no " + ", ".join(missing))
if len(sys.argv) > 1:
    port, launch = sys.argv[1:]
    server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    GLib.MainLoop().run()
"""


def needs_rtsp() -> None:
    """Skip the test where GStreamer's RTSP server is not installed."""
    try:
        found = subprocess.run(
            [_PYTHON, "-c", _SERVER], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except OSError as error:
        pytest.skip(f"no {_PYTHON}: {error}")
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["?"])[-1]
        pytest.skip(
            f"no RTSP server: {last}; apt install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"
        )


class RtspCamera:
    """Plays numbered PNG pictures, once for each client, as a camera that sends JPEG over RTP would."""

    def __init__(self, pictures: Path, rate: int) -> None:
        self.port = free_port()
        self._log = pictures / "rtsp.log"
        self._launch = (
            f"( multifilesrc location={pictures}/%05d.png caps=image/png,framerate={rate}/1 ! pngdec ! videoconvert ! "
            "video/x-raw,format=I420 ! jpegenc quality=95 ! rtpjpegpay name=pay0 pt=26 )"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it plays."""
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            command = [_PYTHON, "-c", _SERVER, str(self.port), self._launch]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: answers(self.port), "the RTSP server answers")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Pull the cable."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class SilentServer:
    """Accepts connections and never says a word."""

    def __init__(self) -> None:
        self.accepted = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._held: list[socket.socket] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        """Where it is silent."""
        return f"rtsp://127.0.0.1:{self._socket.getsockname()[1]}/camera"

    def _accept(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                self._held.append(self._socket.accept()[0])
                self.accepted += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        for one in (*self._held, self._socket):
            one.close()
