"""A bare Debian that boots systemd in a folder of our own (systemd-nspawn, loopback only), and what it is made of."""

import hashlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from brokers import PATIENCE_S, until

CACHE = Path("/var/tmp/edge-inspector-tests")  # noqa: S108 - kept over test runs on purpose; root's alone
RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
BARE = ("systemd-sysv",)
"""On top of the packages that every Debian has: no Python, no broker, nothing of ours."""
BOOT_S = 60.0
INSTALL_S = 400.0


class NoMachineError(Exception):
    """Why no machine can be had here."""


def nspawn() -> tuple[list[str], dict[str, str]]:
    """Return how systemd-nspawn is called here, and the environment that it needs."""
    found = shutil.which("systemd-nspawn")
    if found is not None:
        return [found], {}
    folder = CACHE / "nspawn"  # installing the package would replace the systemd of this computer
    if not (folder / "usr/bin/systemd-nspawn").exists():
        folder.mkdir(parents=True, exist_ok=True)
        words = ["apt-get", "download", "systemd-container", "libsystemd-shared"]
        if subprocess.run(words, cwd=folder, capture_output=True, check=False).returncode:
            raise NoMachineError("systemd-nspawn is neither installed nor to be had from apt-get")
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    libraries = folder / f"usr/lib/{platform.machine()}-linux-gnu/systemd"
    return [str(folder / "usr/bin/systemd-nspawn")], {"LD_LIBRARY_PATH": str(libraries)}


def bare_debian() -> Path:
    """Return the folder of a bare Debian, made once and kept."""
    key = hashlib.sha256(" ".join((RELEASE, MIRROR, *BARE)).encode()).hexdigest()[:12]
    root = CACHE / f"debian-{key}"
    if root.is_dir():
        return root
    if shutil.which("mmdebstrap") is None:
        raise NoMachineError("mmdebstrap is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=CACHE, prefix=".debian-"))
    words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(BARE)}", RELEASE, part, MIRROR]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    if found.returncode:
        shutil.rmtree(part, ignore_errors=True)
        raise NoMachineError(f"mmdebstrap: {found.stderr[-300:]}")
    part.rename(root)
    return root


class Machine:
    """One computer: a bare Debian under a layer of its own; `show` puts folders of this computer into it, read-only."""

    def __init__(self, folder: Path, show: Mapping[Path, str]) -> None:
        self.root = folder / "root"
        self._layer = folder / "layer"
        self._log = folder / "console.log"
        self._show = show
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        """Mount and boot it, and return when systemd has started everything."""
        if os.geteuid() != 0:
            raise NoMachineError("only root may boot a machine")
        words, environment = nspawn()
        self._mount(bare_debian())
        binds = [f"--bind-ro={path}:{place}" for path, place in self._show.items()]
        options = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--machine=press", *binds]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*words, f"--directory={self.root}", *options, "--boot"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment},
                start_new_session=True,
            )  # fmt: skip
        try:
            until(self._is_up, "the machine has booted", BOOT_S)
        except AssertionError as error:
            self._off()
            raise NoMachineError(f"systemd-nspawn: {self._log.read_text(errors='replace')[-500:]}") from error
        return self

    def __exit__(self, *_: object) -> None:
        """Switch it off."""
        self._off()

    def _mount(self, bare: Path) -> None:
        for name in ("upper", "work"):
            (self._layer / name).mkdir(parents=True)
        self.root.mkdir()
        layers = f"lowerdir={bare},upperdir={self._layer}/upper,workdir={self._layer}/work"
        mounted = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, self.root], capture_output=True, check=False
        )
        if mounted.returncode:
            raise NoMachineError(f"no overlay can be mounted here: {mounted.stderr.decode()}")
        (self.root / "etc/fstab").write_text("")
        for place in self._show.values():
            (self.root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        masked = [
            f"{name}.timer" for name in ("apt-daily", "apt-daily-upgrade", "fstrim", "e2scrub_all", "dpkg-db-backup")
        ]
        for unit in (*masked, "systemd-networkd.service", "systemd-timesyncd.service", "console-getty.service"):
            (self.root / "etc/systemd/system" / unit).unlink(missing_ok=True)
            (self.root / "etc/systemd/system" / unit).symlink_to("/dev/null")

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "nspawn ended"
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return False
        self._leader = int(children[0])
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(self, command: str, *, check: bool = True, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the machine as root and return what it said."""
        words = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "--", "/bin/bash", "-c", command]
        path = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": "/root",
        }
        found = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            env=path,
        )
        assert not check or found.returncode == 0, (
            f"{command}: exit {found.returncode}\n{found.stdout[-3000:]}\n{found.stderr[-3000:]}"
        )
        return found

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return what systemd knows of a unit."""
        said = self.run(f"systemctl show {unit} {' '.join(f'-p {name}' for name in properties)}").stdout
        return dict(line.split("=", 1) for line in said.splitlines())

    def _off(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)  # nspawn asks its systemd to power off
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.kill(self._leader, signal.SIGKILL)
                process.kill()
                process.wait()
        subprocess.run(["umount", "--lazy", self.root], check=False)
        shutil.rmtree(self._layer, ignore_errors=True)
