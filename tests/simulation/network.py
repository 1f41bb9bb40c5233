"""A broker and the sockets to it: what is on its way may be lost with its connection, answers may be late, never more.

TCP keeps the order and loses nothing while a connection stands; so a lost message is a lost connection, and a doubled
one is a publish that was taken and whose PUBACK was lost.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import paho.mqtt.client as mqtt
from simulation.scheduler import Process, Scheduler

from edge_inspector.line.broker.link import ConnectionOptions

_GOOD = SimpleNamespace(value=0, is_failure=False)
_SILENT_S = 1.5
"""Keepalives until the broker gives a silent client up."""


class Broker:
    """Takes publishes, holds what is retained, speaks the wills of the dead."""

    def __init__(self, scheduler: Scheduler, heard: Callable[[str, bytes, bool], None]) -> None:
        self.scheduler = scheduler
        self.up = True
        self.retained: dict[str, bytes] = {}
        self.ack_s: Callable[[], float] = lambda: scheduler.rng.uniform(0.0002, 0.01)
        self.messages = 0
        self._heard = heard
        self._sockets: list[Socket] = []

    @property
    def connections(self) -> int:
        """How many stand."""
        return len(self._sockets)

    def join(self, socket: "Socket") -> None:
        """Take a connection; one with the same client id is closed for it."""
        for other in [one for one in self._sockets if one.client_id == socket.client_id]:
            self.end(other)
        self._sockets.append(socket)

    def take(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Deliver a message at once to who listens: mosquitto delivers before it acknowledges."""
        self.messages += 1
        if retain:
            self.retained[topic] = payload
        self._heard(topic, payload, False)

    def send(self, topic: str, payload: bytes) -> None:
        """Deliver a message to the daemon's connections that subscribed to its topic."""
        for socket in self._sockets:
            socket.receive(topic, payload)

    def end(self, socket: "Socket", *, will: bool = True) -> None:
        """End a connection and say its will."""
        if socket in self._sockets:
            self._sockets.remove(socket)
            socket.broken = True
            if will and socket.will is not None and self.up:
                self.take(socket.will.topic, socket.will.payload.encode(), retain=True)
            socket.lose()

    def cut_one(self) -> None:
        """Break one of the connections."""
        if self._sockets:
            self.end(self._sockets[self.scheduler.rng.randrange(len(self._sockets))])

    def die(self, *, forget: bool) -> None:
        """Kill the broker: all connections break, and it may forget what it had not saved."""
        self.up = False
        for socket in tuple(self._sockets):
            self.end(socket)
        if forget:
            self.retained.clear()

    def lose_process(self, process: Process, *, power: bool) -> None:
        """Notice that a process is gone: soon when its sockets were closed, by its silence when the power was cut."""
        for socket in [one for one in self._sockets if one.process is process]:
            socket.mute(0.0 if power else self.scheduler.rng.uniform(0, 0.02))
            self.scheduler.after(_SILENT_S * socket.keepalive_s if power else 0.03, lambda s=socket: self.end(s))


class Socket:
    """One connection and the paho client on it, as link.py uses it."""

    def __init__(self, broker: Broker, options: ConnectionOptions) -> None:
        self.client_id = options.client_id
        self.will = options.will
        self.keepalive_s = options.keepalive_s
        self.process = broker.scheduler.current().process
        self.broken = True
        self._broker = broker
        self._subscribed = ""
        self._mid = 0
        self._connected = False
        self._reached_ns = self._acked_ns = 0
        self._mute_ns: int | None = None
        self.on_connect: Callable[..., None] = print
        self.on_disconnect: Callable[..., None] | None = print
        self.on_publish: Callable[..., None] = print
        self.on_message: Callable[..., None] = print

    def connect(self, _host: str, _port: int, keepalive: int, **_session: object) -> None:
        """Dial the broker; CONNACK comes a little later."""
        if not self._broker.up:
            raise ConnectionRefusedError("connection refused")
        self.keepalive_s = keepalive
        self._broker.scheduler.after(self._lag(), self._connack)

    def loop_start(self) -> None:
        """Do nothing: the scheduler is the loop."""

    def loop_stop(self) -> None:
        """End: nothing is heard any more."""
        self._connected = False
        self.broken = True

    def _connack(self) -> None:
        if self._broker.up and not self.process.dead:
            self.broken, self._connected = False, True
            self._broker.join(self)
            self.on_connect(self, None, None, _GOOD, None)

    def subscribe(self, topics: str, *_: object, **__: object) -> None:
        """Hear a topic filter."""
        self._subscribed = topics.removesuffix("#")

    def is_connected(self) -> bool:
        """Say whether the connection stands."""
        return self._connected and not self.process.dead

    def publish(self, topic: str, payload: bytes | str, qos: int, retain: bool, _properties: object) -> Any:  # noqa: ANN401, FBT001
        """Send a message on its way."""
        self._mid += 1
        mid = self._mid
        scheduler = self._broker.scheduler
        info = _Info(scheduler)
        if not self.is_connected():
            info.rc = mqtt.MQTT_ERR_NO_CONN
            return SimpleNamespace(rc=info.rc, mid=mid, wait_for_publish=info.wait_for_publish)
        content = payload.encode() if isinstance(payload, str) else payload
        self._reached_ns = max(self._reached_ns, scheduler.now + int(self._lag() * 1e9))
        scheduler.at(self._reached_ns, lambda: self._reach(topic, content, qos, mid, info, retain=retain))
        return SimpleNamespace(rc=info.rc, mid=mid, wait_for_publish=info.wait_for_publish)

    def _reach(self, topic: str, content: bytes, qos: int, mid: int, info: "_Info", *, retain: bool) -> None:
        """The message is at the broker."""
        scheduler = self._broker.scheduler
        if self.broken or (self._mute_ns is not None and scheduler.now > self._mute_ns):
            return
        self._broker.take(topic, content, retain=retain)
        if qos:
            self._acked_ns = max(self._acked_ns, scheduler.now + int(self._broker.ack_s() * 1e9))
            scheduler.at(self._acked_ns, lambda: self._puback(mid, info))

    def _puback(self, mid: int, info: "_Info") -> None:
        if not self.broken and not self.process.dead:
            info.end()
            self.on_publish(self, None, mid, _GOOD, None)

    def receive(self, topic: str, payload: bytes) -> None:
        """Bring a message to the client."""
        if self._subscribed and topic.startswith(self._subscribed):
            message = SimpleNamespace(topic=topic, payload=payload, retain=False, properties=None, mid=0, dup=False)
            self._broker.scheduler.after(
                self._lag(), lambda: self.broken or self.process.dead or self.on_message(self, None, message)
            )

    def socket(self) -> None:
        """There is none to be cut."""

    def disconnect(self) -> None:
        """Say goodbye: no will."""
        if self.is_connected():
            self._broker.end(self, will=False)

    def lose(self) -> None:
        """The client learns that its connection is gone."""
        was, self._connected = self._connected, False
        if was and not self.process.dead:
            self._broker.scheduler.after(self._lag(), self._lost)

    def _lost(self) -> None:
        if self.on_disconnect is not None and not self.process.dead:
            self.on_disconnect(self, None, None, _GOOD, None)

    def mute(self, seconds: float) -> None:
        """Nothing that would arrive later than this does."""
        self._mute_ns = self._broker.scheduler.now + int(seconds * 1e9)

    def _lag(self) -> float:
        return self._broker.scheduler.rng.uniform(0.0001, 0.004)


class _Info:
    """Whether a publish was acknowledged."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.rc = mqtt.MQTT_ERR_SUCCESS
        self._scheduler = scheduler
        self._waiting: list[Any] = []
        self._acked = False

    def end(self) -> None:
        self._acked = True
        self._scheduler.wake(self._waiting)

    def wait_for_publish(self, timeout: float) -> None:
        """Send a message on its way."""
        if not self._acked:
            self._scheduler.wait(self._waiting, timeout)
