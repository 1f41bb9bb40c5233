"""No memory left, on the real process: allocations that fail, and the kernel's own way out."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import pytest
from brokers import until
from factories import a_part, png
from faults.rig import Rig, running

from edge_inspector.bundle import Bundle

Record = Callable[[str, object], None]
LARGE = png(cv2.resize(a_part(3100, scratched=True), None, fx=32, fy=32, interpolation=cv2.INTER_NEAREST))
"""A bad part as a camera of 20 megapixels would show it: 20 MB in memory, 59 MB in colour."""
_LIMIT = 16_000_000
_GROUPS = Path("/sys/fs/cgroup")


@pytest.mark.slow
@pytest.mark.fault("no memory: allocations fail while pictures are judged")
def test_allocations_fail(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """A picture for which there is no memory is ERROR and says so; the small ones between them are judged or ERROR."""
    with running(tmp_path, bundle) as line:
        line.begin("memory")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        pid = line.daemon.pid
        data = next(
            int(words.split()[1]) * 1024
            for words in Path(f"/proc/{pid}/status").read_text().splitlines()
            if words.startswith("VmData")
        )
        resource.prlimit(pid, resource.RLIMIT_DATA, (data, resource.RLIM_INFINITY))
        large = [_put_large(line) for _ in range(3) if line.send(3) is None]
        until(lambda: not _is_alive(pid) or set(large) <= line.scada.by_serial().keys(), "answers, or an end")
        begun = time.monotonic()
        if _is_alive(pid):
            resource.prlimit(pid, resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            line.daemon.wait()
            line.daemon.start()

        results = {one["serial"]: one for one in line.account(record_property, line.recovered(begun))}
    said = [results[serial]["reason"] for serial in large if results[serial]["verdict"] == "ERROR"]
    assert any("memory" in words.lower() or "alloc" in words.lower() for words in said), said


@pytest.mark.slow
@pytest.mark.fault("no memory: the kernel kills the process while it judges")
def test_the_kernel_kills_for_memory(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """The picture that it was judging is ERROR, not a crash loop; all others are judged after the start."""
    with running(tmp_path, bundle) as line:
        line.begin("killed")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        with _memory_group(f"edge-faults-{os.getpid()}", line.daemon.pid):
            large = _put_large(line)
            line.send(4)

            assert line.daemon.wait() == -9

        begun = time.monotonic()
        line.daemon.start()
        results = {one["serial"]: one for one in line.account(record_property, line.recovered(begun))}
    assert results[large]["reason_code"] == 208


def _put_large(line: Rig) -> str:
    """Send a bad part's picture as a large camera shows it."""
    serial, _ = line.part(bad=True)
    line.put(serial, LARGE)
    return serial


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


@contextmanager
def _memory_group(name: str, pid: int) -> Iterator[None]:
    """Put a process into a group that may take a few megabytes more than it has."""
    old = (_GROUPS / "memory").is_dir()
    group = (_GROUPS / "memory" if old else _GROUPS) / name
    limit = group / ("memory.limit_in_bytes" if old else "memory.max")
    try:
        group.mkdir()
        limit.write_text(str(_LIMIT))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"no memory group: {error}")
    try:
        yield
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()
