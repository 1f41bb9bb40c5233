"""What Prometheus scrapes: one thread that takes in news of all stations and answers HTTP with it."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never, get_args
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from edge_inspector import __version__
from edge_inspector.engines.openvino import ENGINE
from edge_inspector.errors import SettingsError
from edge_inspector.line.health.health import StateName
from edge_inspector.settings import MetricsSettings
from edge_inspector.wire.messages import Health

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_KNOCK_S = 0.5
_PATIENCE_S = 5.0
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """A part was answered."""

    station: str
    part: str
    verdict: str
    seconds: float
    """From the accepted image to the decision."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A supervisor has said how its station is."""

    station: str
    health: Health


News: TypeAlias = "queue.SimpleQueue[Judged | Shown]"


@contextmanager
def serve_metrics(settings: MetricsSettings, news: News) -> Iterator[None]:
    """Answer `GET /metrics` from a thread of its own while the block runs.

    Raises:
        SettingsError: prometheus-client is not installed, or the address is not to be had.
    """
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            "[metrics] needs prometheus-client: pip install 'edge-inspector[metrics]', or take the section away"
        ) from error
    registry = CollectorRegistry()
    take = _instruments(registry)
    try:
        server = make_server(settings.host, settings.port, make_wsgi_app(registry), _Server, _Quiet)
    except OSError as error:
        raise SettingsError(f"metrics.port {settings.host}:{settings.port}: {error.strerror or error}") from error
    stop = threading.Event()
    thread = threading.Thread(target=_turn, args=(server, news, take, stop), name="metrics")
    with server:
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class _Server(WSGIServer):
    """One request at a time, in the thread that owns the figures."""

    timeout = _KNOCK_S


class _Quiet(WSGIRequestHandler):
    """Who sends nothing is hung up on; a scrape is no news for the log."""

    timeout = _PATIENCE_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        del format, args


def _turn(server: WSGIServer, news: News, take: Callable[[Judged | Shown], None], stop: threading.Event) -> None:
    while not stop.is_set():
        server.handle_request()
        while not news.empty():
            take(news.get())


def _instruments(registry: "CollectorRegistry") -> Callable[[Judged | Shown], None]:
    """Register every figure, and return what moves them."""
    from prometheus_client import (  # noqa: PLC0415 - an extra
        Counter,
        Enum,
        Gauge,
        Histogram,
        Info,
        ProcessCollector,
        disable_created_metrics,
    )

    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    station = ("station",)

    def gauge(name: str, words: str, labels: tuple[str, ...] = station) -> Gauge:
        return Gauge(f"edge_inspector_{name}", words, labels, registry=registry)

    build = Info("edge_inspector_build", "What runs.", registry=registry)
    build.info({"version": __version__, "engine": ENGINE})
    parts = Counter(
        "edge_inspector_parts", "Parts answered since the start.", ("station", "part", "verdict"), registry=registry
    )
    answer = Histogram(
        "edge_inspector_answer_seconds", "From the accepted image to its verdict.", station,
        buckets=_SECONDS, registry=registry,
    )  # fmt: skip
    state = Enum(
        "edge_inspector_station_state", "State of the station.", station,
        states=list(get_args(StateName)), registry=registry,
    )  # fmt: skip
    broker = gauge("broker_connected", "1 while results reach the broker.")
    source = gauge("source_open", "1 while images can come.")
    undelivered = gauge("undelivered_messages", "Messages that the broker has not acknowledged.")
    oldest = gauge("undelivered_oldest_seconds", "Age of the oldest of them.")
    disk = gauge("disk_free_bytes", "Free where the ledger is.")
    age = gauge("stage_age_seconds", "Since the loop of a stage last turned.", ("station", "stage"))

    def take(news: Judged | Shown) -> None:
        match news:
            case Judged():
                parts.labels(news.station, news.part, news.verdict).inc()
                answer.labels(news.station).observe(news.seconds)
            case Shown(station=name, health=health):
                state.labels(name).state(health.state)
                broker.labels(name).set(health.broker == "connected")
                source.labels(name).set(health.source.open)
                undelivered.labels(name).set(health.undelivered.count)
                oldest.labels(name).set(health.undelivered.oldest_s)
                disk.labels(name).set(health.disk_free_mb * 1_000_000)
                for stage, seconds in health.stages.items():
                    age.labels(name, stage).set(seconds)
            case _:
                assert_never(news)

    return take
