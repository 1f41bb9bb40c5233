"""Several stations in one daemon: what befalls one is nothing to the others."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Heard, Subscriber, drop
from factories import a_part, a_twin, png

from edge_inspector.bundle import NETWORK, RESIDUAL, Bundle

DEADLINE_MS = 60_000
GOOD = png(a_part(0))


@contextmanager
def a_plant(
    folder: Path, port: int, sources: dict[str, str], parts: dict[str, Path]
) -> Iterator[dict[str, Subscriber]]:
    """Run one daemon with these stations, all with these parts; yield who listens to each."""
    config = folder / "settings.toml"
    lines = [f'state_dir = "state"\n[ledger]\nreserve_mb = 1\nalarm_free_mb = 1\n[mqtt]\nport = {port}']
    for name, source in sources.items():
        lines += [f'[[station]]\nname = "{name}"\ndeadline_ms = {DEADLINE_MS}\n[station.source]\n{source}']
        lines += [f'[[station.part]]\nname = "{part}"\nbundle = "{path}"' for part, path in parts.items()]
        (folder / name).mkdir()
    config.write_text("\n".join(lines) + "\n")
    with ExitStack() as stack:
        heard = {
            name: stack.enter_context(Subscriber(port, base=f"edge-inspector/v1/{name}", session=name))
            for name in sources
        }
        stack.enter_context(Daemon(config)).start()
        yield heard


def watching(folder: str) -> str:
    """Return the source of a station that watches a folder beside the settings."""
    return f'kind = "folder"\npath = "{folder}"'


@pytest.fixture
def silent() -> Iterator[int]:
    """A network camera that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_dead_camera_delays_nobody(tmp_path: Path, broker: Mosquitto, bundle: Bundle, silent: int) -> None:
    """Beside a camera that hangs and a folder that is gone, every part of the third station is live and in time."""
    sources = {
        "well": watching("well"),
        "hangs": f'kind = "capture"\ndevice = "rtsp://127.0.0.1:{silent}/x"',
        "gone": watching("nowhere"),
    }
    with a_plant(tmp_path, broker.port, sources, {"washer": bundle.path}) as heard:
        until(lambda: heard["well"].last("plc/ready") == "1", "it is ready")
        for number in range(20):
            drop(tmp_path / "well", f"S{number}.png", GOOD)
        found = heard["well"].wait_for_results([f"S{number}" for number in range(20)])
        until(lambda: heard["hangs"].last("alarms")["active"], "the camera's alarm")
        troubled = {name: heard[name].last("plc/ready") for name in ("hangs", "gone")}

    assert {one["verdict"] for one in found.values()} == {"OK"}
    assert not any(one["replayed"] for one in found.values())
    assert troubled == {"hangs": "0", "gone": "0"}


def test_a_flood_at_one_station_is_no_wait_at_another(tmp_path: Path, broker: Mosquitto, bundle: Bundle) -> None:
    """Two hundred pictures lie before one; the few of the other are answered among them, not behind them."""
    with a_plant(
        tmp_path, broker.port, {"full": watching("full"), "calm": watching("calm")}, {"washer": bundle.path}
    ) as heard:
        for one in heard.values():
            until(lambda one=one: one.last("plc/ready") == "1", "they are ready")
        for number in range(200):
            drop(tmp_path / "full", f"F{number}.png", GOOD)
        passed = []
        for number in range(5):
            before = len(heard["full"].results)
            drop(tmp_path / "calm", f"C{number}.png", GOOD)
            heard["calm"].wait_for_results([f"C{number}"])
            passed.append(len(heard["full"].results) - before)
        heard["full"].wait_for_results([f"F{number}" for number in range(200)])

    assert max(passed) < 100, "parts of the flood that were answered while one waited"
    assert not any(one["replayed"] for one in heard["calm"].results)


def test_a_changeover_loads_no_graph(tmp_path: Path, broker: Mosquitto, bundle: Bundle) -> None:
    """Bundles are warm: all it does is judge the golden pictures of the part that comes; the graphs may be gone."""
    other = a_twin(bundle, tmp_path / "twin", 99)
    parts = {"washer": bundle.path, "bracket": other.path}
    with a_plant(tmp_path, broker.port, {"press": watching("press")}, parts) as heard:
        press = heard["press"]
        until(lambda: press.last("plc/ready") == "1", "it is ready")
        for graph in (NETWORK, RESIDUAL):
            (other.path / graph).unlink()
        for part in ("bracket", "washer", "bracket"):
            _change(press, part)

    assert press.last("recipe")["active"] == "bracket"


def _change(press: Subscriber, part: str) -> None:
    """Have the PLC ask for another part; return when the station is ready for it."""
    before = len(press.heard)
    press.send("plc/cmd/part", part)

    def ready_again() -> list[Heard]:
        since = press.heard[before:]
        fell = next((place for place, one in enumerate(since) if (one.topic, one.payload) == ("plc/ready", b"0")), None)
        return [] if fell is None else [one for one in since[fell:] if (one.topic, one.payload) == ("plc/ready", b"1")]

    until(ready_again, f"it is ready for {part}")
    until(lambda: press.last("recipe")["active"] == part, "it says so")
