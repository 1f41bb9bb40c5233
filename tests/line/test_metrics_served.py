"""Figures for Prometheus."""

import queue
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from brokers import PATIENCE_S, Mosquitto, free_port, until
from daemons import STATION, Daemon, Subscriber, drop, write_settings
from factories import a_part, png
from prometheus_client.parser import text_string_to_metric_families

from edge_inspector.bundle import Bundle
from edge_inspector.errors import SettingsError
from edge_inspector.line.metrics import Judged, News, Shown, serve_metrics
from edge_inspector.settings import MetricsSettings
from edge_inspector.wire.messages import Health, SourceHealth, Undelivered


def scrape(port: int) -> dict[tuple[str, str], float]:
    """Return what Prometheus would read, by name and labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as page:
        text = page.read().decode()
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def a_health(**changes: object) -> Health:
    """Return the health of a station at work."""
    values: dict[str, object] = {
        "state": "RUNNING",
        "since": "2026-01-01T00:00:00.000Z",
        "stages": {"intake": 0.1, "inspect": 0.2},
        "broker": "connected",
        "undelivered": Undelivered(count=3, oldest_s=1.5, refused=0),
        "disk_free_mb": 1000,
        "engine": "openvino",
        "source": SourceHealth(open=True, detail=""),
        "last_error": "",
    }
    return Health.model_validate({**values, **changes})


@pytest.fixture
def served() -> Iterator[tuple[int, News]]:
    """Serve figures of nobody yet: the port, and where news goes in."""
    news: News = queue.SimpleQueue()
    settings = MetricsSettings(port=free_port())
    with serve_metrics(settings, news):
        yield settings.port, news


def test_parts_are_counted_by_part_and_verdict(served: tuple[int, News]) -> None:
    """A counter ends in `_total`; times are in seconds."""
    port, news = served
    for verdict in ("OK", "OK", "NG"):
        news.put(Judged("st1", "washer", verdict, 0.03))
    until(lambda: scrape(port).get(("edge_inspector_answer_seconds_count", "station=st1")) == 3, "three parts")
    found = scrape(port)

    assert found["edge_inspector_parts_total", "part=washer,station=st1,verdict=OK"] == 2
    assert found["edge_inspector_parts_total", "part=washer,station=st1,verdict=NG"] == 1
    assert found["edge_inspector_answer_seconds_bucket", "le=0.02,station=st1"] == 0
    assert found["edge_inspector_answer_seconds_bucket", "le=0.05,station=st1"] == 3


def test_health_is_the_supervisor_s(served: tuple[int, News]) -> None:
    """One state is 1, all others 0; what is newer stands."""
    port, news = served
    news.put(Shown("st1", a_health()))
    news.put(Shown("st1", a_health(state="DEGRADED", broker="disconnected")))
    state = "edge_inspector_station_state"
    degraded = (state, f"{state}=DEGRADED,station=st1")
    until(lambda: scrape(port).get(degraded) == 1, "the newer state")
    found = scrape(port)

    assert sum(value for (name, _), value in found.items() if name == state) == 1
    assert found["edge_inspector_broker_connected", "station=st1"] == 0
    assert found["edge_inspector_source_open", "station=st1"] == 1
    assert found["edge_inspector_undelivered_messages", "station=st1"] == 3
    assert found["edge_inspector_disk_free_bytes", "station=st1"] == 1e9
    assert found["edge_inspector_stage_age_seconds", "stage=inspect,station=st1"] == 0.2


def test_a_label_cannot_break_the_page(served: tuple[int, News]) -> None:
    """Names come from settings; quotes, line ends and backslashes are escaped."""
    port, news = served
    news.put(Judged('a"b\\c\nd', "washer", "OK", 0.0))
    until(lambda: any('a"b\\c\nd' in labels for _, labels in scrape(port)), "the odd name")


def test_who_connects_and_says_nothing_keeps_nobody_out(
    served: tuple[int, News], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent client is hung up on, and the next scrape is answered."""
    monkeypatch.setattr("edge_inspector.line.metrics._Quiet.timeout", 0.2)
    port, _ = served
    with socket.create_connection(("127.0.0.1", port)):
        assert scrape(port)


def test_a_port_that_is_taken_is_a_settings_fault(served: tuple[int, News]) -> None:
    """Named, before the station is ready."""
    port, _ = served
    with pytest.raises(SettingsError, match=f"metrics.port 127.0.0.1:{port}: Address already in use"):
        serve_metrics(MetricsSettings(port=port), queue.SimpleQueue()).__enter__()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not installed everywhere."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SettingsError, match=r"pip install 'edge-inspector\[metrics\]'"):
        serve_metrics(MetricsSettings(port=free_port()), queue.SimpleQueue()).__enter__()


def test_a_daemon_shows_what_it_judged(tmp_path: Path, bundle: Bundle) -> None:
    """The real process: scraped while it runs, the port free when it has ended."""
    port = free_port()
    with Mosquitto(tmp_path / "broker") as broker:
        config = write_settings(
            tmp_path,
            bundle=bundle.path,
            port=broker.port,
            mqtt_keys=f"[metrics]\nport = {port}\n[log]\nformat = 'json'",
        )
        with Subscriber(broker.port) as heard, Daemon(config) as daemon:
            daemon.start()
            drop(tmp_path / "inbox", "p1.png", png(a_part(1)))
            drop(tmp_path / "inbox", "p2.png", png(a_part(2, scratched=True)))
            heard.wait_for_results({"p1", "p2"})
            ng = ("edge_inspector_parts_total", f"part=washer,station={STATION},verdict=NG")
            connected = ("edge_inspector_broker_connected", f"station={STATION}")
            until(lambda: scrape(port).get(ng) == 1, "the bad part is counted")
            until(lambda: scrape(port).get(connected) == 1, "the broker is there")
            status = daemon.stop()

        assert status == 0
        assert '"level": "WARNING", "logger": "edge_inspector.line.daemon"' in daemon.words()
        with pytest.raises(OSError, match="refused"):
            scrape(port)
