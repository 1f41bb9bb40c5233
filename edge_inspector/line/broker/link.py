"""One connection to the broker, from CONNACK to loss; a new one is a new client, so nothing old is sent again by it."""

import contextlib
import logging
import queue
import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_inspector.errors import SettingsError
from edge_inspector.line.ticks import Fault, Worker
from edge_inspector.settings import MqttSettings, TlsSettings
from edge_inspector.text import read_text

logger = logging.getLogger(__name__)

MAX_PAYLOAD = 900_000
"""An oversize message makes a broker drop an MQTT 5 client, which sends it again, for ever."""
MAX_HEARD = 20_000
"""Of what comes in so many bytes are kept, more than any command may have: a flood must not fill the memory."""
_HEAD = 40
"""Bytes of a packet besides topic, payload, id and correlation, at most."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 15.0
_CONNECT_TIMEOUT_S = 5.0
_GOODBYE_S = 1.0
_QUEUED = 1000
_TAKEN_OVER = 0x8E
"""MQTT 5 reason code: another client has connected with our name."""
_NO_RETAIN = 0x9A
"""MQTT 5 reason code: the broker keeps no retained messages; with 3.1.1 it ends the connection without a word."""
LACKS_RETAIN = (
    "the broker keeps no retained messages (retain_available false?): PLCs and dashboards that come late would know "
    "nothing; the contract needs them, switch them on or use another broker"
)
LACKS_QOS = "the broker takes QoS 0 only (max_qos 0?): verdicts could be lost; the contract needs QoS 1"
_SHORT_NS, _FIGHTS = 5_000_000_000, 3
"""So many consecutive connections ended so soon mean the same: mosquitto 2.0.11 gives no reason code."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we fall silent."""

    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered a publish."""

    link: "Link"
    mid: int
    refused: str
    """Empty when it took the message, else why not."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message for us."""

    link: "Link"
    topic: str
    payload: bytes
    retained: bool
    response_topic: str
    correlation: bytes
    user: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""
    size: int = 0
    """Bytes that came; of a message that is too large `payload` is the beginning."""
    mid: int = 0
    """What the broker waits to see acknowledged."""
    again: bool = False
    """The broker has sent it before."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection ended."""

    link: "Link"
    why: str


Inbox: TypeAlias = "queue.SimpleQueue[Any]"


@dataclass(frozen=True, slots=True)
class Session:
    """A place at the broker that outlives connections; what comes is acknowledged by `Link.acknowledge` alone."""

    expiry_s: int
    """So long the broker keeps it for who is away."""
    receive_maximum: int
    """Messages that the broker may send before the first of them is acknowledged."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How a connection is made."""

    mqtt: MqttSettings
    client_id: str
    inbox: Inbox = field(repr=False)
    """Where the connection's events go; its owner's other messages come there too."""
    will: Will | None = None
    subscribe: str = ""
    keepalive_s: int = 15
    session: Session | None = None
    """MQTT 5; None is a clean start, nothing of an earlier connection remembered."""
    most_heard: int = MAX_HEARD
    """Bytes kept of a message that comes in."""
    retain: bool = True
    """Whether the will is retained; not where the broker refuses that."""


class Link:
    """A connected client. Callbacks only queue; an exception in one would stop the client without a word."""

    def __init__(self, client: mqtt.Client, version: int) -> None:
        self._client = client
        self._version = version
        self._last: mqtt.MQTTMessageInfo | None = None
        self._topics: dict[int, str] = {}
        self.most_bytes = 2 * MAX_PAYLOAD
        """Of a message with its topic; less where the broker said so, and disconnects whoever sends more."""
        self.retains = True
        """Whether the broker keeps retained messages; where not, they are sent to who is there."""
        self.ends: queue.SimpleQueue[int] = queue.SimpleQueue()
        """The reason code with which the connection ended."""

    def publish(
        self, topic: str, payload: bytes | str, qos: int, *, retain: bool, name: str = "", correlation: bytes = b""
    ) -> int | None:
        """Hand a message to the client and return its number; None when it is too large for this broker.

        Args:
            topic: the whole topic.
            payload: with the rest at most `most_bytes`.
            qos: 0 or 1.
            retain: whether late joiners get it.
            name: the part's id, as MQTT 5 user property.
            correlation: of the command that this answers.
        """
        if (
            len(payload) > MAX_PAYLOAD
            or len(topic.encode()) + len(payload) + len(name) + len(correlation) > self.most_bytes
        ):
            return None
        properties = None
        if self._version == 5 and (name or correlation):
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if name:
                properties.UserProperty = [("id", name)]
            if correlation:
                properties.CorrelationData = correlation
        sent = self._client.publish(topic, payload, qos, retain and self.retains, properties)
        if qos:
            self._last = sent
        if sent.rc == mqtt.MQTT_ERR_SUCCESS:
            self._topics[sent.mid] = topic
        return sent.mid

    def publish_image(self, topic: str, image: bytes, user: Sequence[tuple[str, str]], *, expires_s: int) -> int | None:
        """Hand an image to the client and return its number; None when the connection is gone already.

        Args:
            topic: the whole topic.
            image: of any size; whether the broker takes it must be known to who sends it.
            user: MQTT 5 user properties.
            expires_s: the broker drops an image that nobody took in this time.
        """
        if not self._client.is_connected():
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = list(user)
        properties.MessageExpiryInterval = expires_s
        sent = self._client.publish(topic, image, 1, False, properties)
        self._topics[sent.mid] = topic
        return sent.mid

    def subscribe(self, topics: str) -> None:
        """Hear a topic filter; with MQTT 5 a retained message is known as one even when it comes live.

        The broker's answer comes as `Acknowledged`, too.
        """
        if self._version == 5:
            sent = self._client.subscribe(topics, options=SubscribeOptions(qos=1, retainAsPublished=True))
        else:
            sent = self._client.subscribe(topics, 1)
        if sent is not None and sent[1] is not None:
            self._topics[sent[1]] = topics

    def unsubscribe(self, topics: str) -> None:
        """Hear a topic filter no longer, from a moment later on."""
        self._client.unsubscribe(topics)

    def acknowledge(self, mid: int) -> None:
        """Tell the broker that a message of a session is dealt with."""
        self._client.ack(mid, 1)

    def refusal(self, message: Acknowledged) -> str:
        """Return the topic of an acknowledged message if the broker refused it, else nothing; asked once a message."""
        topic = self._topics.pop(message.mid, "")
        return topic if message.refused else ""

    def hang_up(self) -> None:
        """End the connection without a goodbye, so that the broker says our will: else `ready` 1 stood retained."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Wait a moment for what is on its way, say goodbye and end the client's thread.

        A socket closed with acknowledgements unread is reset, and the broker drops what it has not read: last words.
        """
        if self._client.is_connected() and self._last is not None:
            with contextlib.suppress(RuntimeError, ValueError):
                self._last.wait_for_publish(_GOODBYE_S)
        _drop(self._client)


def links(options: ConnectionOptions, worker: Worker, rng: Random, while_away: Callable[[], object]) -> Generator[Link]:
    """Yield one connected link after another until the worker is stopped, waiting longer and longer between failures.

    The consumer works with a link until its inbox says `ConnectionLost`, then asks for the next. `while_away` empties
    the inbox between attempts, so that a long outage does not fill the memory.
    """
    wait = _FIRST_WAIT_S
    why = ""
    short = 0
    while not worker.stopping():
        link = connect(options)
        if isinstance(link, Link):
            wait, why = _FIRST_WAIT_S, ""
            worker.say(f"{worker.name} connected")
            if options.will:
                worker.reports.put(Fault("broker_lacks", LACKS_RETAIN, active=not link.retains))
            begun = worker.monotonic_ns()
            try:
                yield link
            except GeneratorExit:
                link.hang_up()  # whoever used it has failed
                raise
            finally:
                link.close()
                worker.say(f"{worker.name} disconnected")
            code = 0 if link.ends.empty() else link.ends.get()
            short = short + 1 if code and worker.monotonic_ns() - begun < _SHORT_NS else 0
            if code == _TAKEN_OVER or short >= _FIGHTS:
                worker.reports.put(_why_taken_over(options))
                wait = _LONGEST_WAIT_S  # whoever fights for a name at full speed leaves it to nobody
        elif link != why:
            why = link
            if why == LACKS_QOS:
                worker.reports.put(Fault("broker_lacks", why))
            logger.warning("%s: no connection to the broker: %s", worker.name, why)
        while_away()
        worker.pause(wait * rng.uniform(0.5, 1.0))
        wait = min(_LONGEST_WAIT_S, 2 * wait)


def _why_taken_over(options: ConnectionOptions) -> Fault:
    if forces_client_ids(options):
        return Fault("client_ids", FORCES_CLIENT_IDS)
    return Fault(
        "taken_over",
        f"the broker ends the connection {options.client_id} again and again: another client uses this name; "
        "two daemons have the same station name, rename one or stop it",
    )


FORCES_CLIENT_IDS = (
    "the broker gives all connections of one login the same client id (use_username_as_clientid true?): ours end each "
    "other for ever; switch that off"
)


def forces_client_ids(options: ConnectionOptions) -> bool:
    """Say whether the broker takes two clients of different names for one: the second ends the first."""
    inboxes: tuple[Inbox, Inbox] = (queue.SimpleQueue(), queue.SimpleQueue())
    probes = [ConnectionOptions(options.mqtt, f"{options.client_id}-{n}", inbox) for n, inbox in enumerate(inboxes)]
    first = connect(probes[0])
    if not isinstance(first, Link):
        return False
    second = connect(probes[1])
    try:
        return isinstance(second, Link) and isinstance(inboxes[0].get(timeout=_GOODBYE_S), ConnectionLost)
    except queue.Empty:
        return False
    finally:
        first.close()
        if isinstance(second, Link):
            second.close()


def connect(options: ConnectionOptions) -> "Link | str":
    """Return a link whose CONNACK has come, or why there is none; the caller closes it.

    Where the broker keeps no retained messages the link says so: its will is not retained, and nothing else.
    """
    found = _connect(options)
    if isinstance(found, Link) or options.will is None or not found.may_be_retain:
        return found if isinstance(found, Link) else found.why
    without = _connect(replace(options, retain=False))
    if not isinstance(without, Link):
        return found.why
    without.retains = False
    return without


@dataclass(frozen=True, slots=True)
class _NoLink:
    """Why there is no connection."""

    why: str
    may_be_retain: bool = False
    """Whether a will that is not retained may be what the broker takes."""


def _connect(options: ConnectionOptions) -> "Link | _NoLink":
    answers: queue.SimpleQueue[_NoLink | None] = queue.SimpleQueue()
    granted: queue.SimpleQueue[object] = queue.SimpleQueue()
    try:
        client = _client(options)
    except (OSError, SettingsError) as error:
        return _NoLink(str(error))  # a password or certificate file that is gone may come back
    link = Link(client, options.mqtt.version)

    def on_connect(_c: mqtt.Client, _u: object, _flags: object, code: Any, properties: object) -> None:  # noqa: ANN401
        granted.put(properties)
        answers.put(_NoLink(str(code), code.value == _NO_RETAIN) if code.is_failure else None)

    def on_disconnect(_c: mqtt.Client, _u: object, _flags: object, code: Any, _p: object) -> None:  # noqa: ANN401
        answers.put(_NoLink(str(code), may_be_retain=True))
        link.ends.put(code.value)
        options.inbox.put(ConnectionLost(link, str(code)))

    def on_publish(_c: mqtt.Client, _u: object, mid: int, code: Any, _p: object) -> None:  # noqa: ANN401
        options.inbox.put(Acknowledged(link, mid, str(code) if code.is_failure else ""))

    def on_message(_c: mqtt.Client, _u: object, message: mqtt.MQTTMessage) -> None:
        properties = message.properties
        options.inbox.put(
            Incoming(
                link,
                message.topic,
                bytes(message.payload[: options.most_heard]),
                message.retain,
                getattr(properties, "ResponseTopic", ""),
                getattr(properties, "CorrelationData", b""),
                tuple(getattr(properties, "UserProperty", ())),
                len(message.payload),
                message.mid,
                message.dup,
            )
        )

    def on_subscribe(_c: mqtt.Client, _u: object, mid: int, codes: Any, _p: object) -> None:  # noqa: ANN401
        refused = next((str(code) for code in codes if code.is_failure), "")
        options.inbox.put(Acknowledged(link, mid, refused))

    client.on_connect, client.on_disconnect = on_connect, on_disconnect
    client.on_publish, client.on_message = on_publish, on_message
    client.on_subscribe = on_subscribe
    client.on_socket_open = _without_delay
    try:
        client.connect(options.mqtt.host, options.mqtt.port, options.keepalive_s, **_session(options))
        client.loop_start()
        refused = answers.get(timeout=_CONNECT_TIMEOUT_S)
    except (OSError, ValueError, queue.Empty) as error:
        refused = _NoLink(str(error) or "no answer")
    refused = refused or _limit(link, granted.get())
    if refused:
        _drop(client)
        return refused
    if options.subscribe:
        link.subscribe(options.subscribe)
    return link


def _limit(link: Link, properties: object) -> _NoLink | None:
    """Take in what the broker can do, as its CONNACK says; nothing is said with MQTT 3.1.1."""
    link.most_bytes = getattr(properties, "MaximumPacketSize", 2 * MAX_PAYLOAD) - _HEAD
    link.retains = bool(getattr(properties, "RetainAvailable", 1))
    return _NoLink(LACKS_QOS) if getattr(properties, "MaximumQoS", 1) < 1 else None


def _drop(client: mqtt.Client) -> None:
    """End a client's thread and let go of its descriptors, now and not when Python's collector comes by."""
    client.disconnect()
    client.loop_stop()
    # The callbacks know the link and it knows the client: a circle, which would keep up to three descriptors open.
    client.on_connect = client.on_disconnect = None
    client.on_publish = client.on_message = client.on_subscribe = None


def _client(options: ConnectionOptions) -> mqtt.Client:
    settings = options.mqtt
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=MQTTProtocolVersion(settings.version),
        reconnect_on_failure=False,
        clean_session=True if settings.version == 4 else None,
        manual_ack=options.session is not None,
    )
    client.connect_timeout = _CONNECT_TIMEOUT_S
    client.max_queued_messages_set(_QUEUED)
    if settings.username:
        client.username_pw_set(settings.username, _password(settings.password_file))
    if settings.tls:
        client.tls_set_context(_tls_context(settings.tls))
    if options.will:
        client.will_set(options.will.topic, options.will.payload, 1, options.retain)
    return client


def _session(options: ConnectionOptions) -> dict[str, Any]:
    if options.session is None:
        return {"clean_start": True} if options.mqtt.version == 5 else {}
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = options.session.expiry_s
    properties.ReceiveMaximum = options.session.receive_maximum
    return {"clean_start": False, "properties": properties}


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return read_text(path.read_bytes()).strip()
    except OSError as error:
        raise SettingsError(f"mqtt.password_file {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"mqtt.password_file {path}: {error}") from error


def files_read(mqtt: MqttSettings) -> Iterator[tuple[str, str]]:
    """Yield each file that a connection reads, such as `mqtt.tls.ca`, and what is wrong with it; empty: nothing."""
    if mqtt.username and mqtt.password_file is not None:
        yield "mqtt.password_file", _fault_of(partial(_password, mqtt.password_file))
    if mqtt.tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        yield from ((name, _fault_of(load)) for name, load in _tls_steps(context, mqtt.tls))


def _fault_of(load: Callable[[], object]) -> str:
    try:
        load()
    except SettingsError as error:
        return str(error)
    return ""


def _tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Return what encrypts; each of its files is opened by itself, so that the one that is wrong can be named.

    Raises:
        SettingsError: a file is missing, unreadable, of another format, locked by a pass phrase or of another pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for _, load in _tls_steps(context, tls):
        load()
    return context


def _tls_steps(context: ssl.SSLContext, tls: TlsSettings) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the setting that names each file and what loads it; a key is loaded with its certificate."""
    yield "mqtt.tls.ca", partial(_load_authority, context, tls.ca)
    if tls.certificate is not None and tls.key is None:
        yield "mqtt.tls.certificate", partial(_load_pair, context, tls.certificate, None)
    elif tls.certificate is not None:
        yield "mqtt.tls.certificate", partial(_check_pem, "certificate", tls.certificate)
    if tls.key is not None:
        yield "mqtt.tls.key", partial(_load_pair, context, tls.certificate, tls.key)


def _load_authority(context: ssl.SSLContext, ca: Path) -> None:
    _check_pem("ca", ca)
    try:
        context.load_verify_locations(str(ca))
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"mqtt.tls.ca {ca}: holds no certificate that can be read, expected PEM") from error


def _check_pem(name: str, file: Path) -> None:
    try:
        found = b"-----BEGIN" in file.read_bytes()
    except OSError as error:
        raise SettingsError(f"mqtt.tls.{name} {file}: {error.strerror}") from error
    if not found:
        raise SettingsError(f"mqtt.tls.{name} {file}: is not PEM, expected text with -----BEGIN; convert it by openssl")


def _load_pair(context: ssl.SSLContext, certificate: Path | None, key: Path | None) -> None:
    """Load our own certificate; a key with a pass phrase is refused, nobody is there to type one."""
    if key is not None:
        _check_pem("key", key)
    if certificate is None:
        return  # a key alone is of no use, and does no harm
    _check_pem("certificate", certificate)
    asked = []

    def refuse() -> str:
        asked.append(True)
        raise ValueError

    named = f"mqtt.tls.key {key}" if key else f"mqtt.tls.certificate {certificate}"
    try:
        context.load_cert_chain(str(certificate), str(key) if key else None, refuse)
    except (ssl.SSLError, OSError, ValueError) as error:
        if asked:
            words = f"{named}: has a pass phrase; `openssl pkey -in KEY -out NEW` takes it away"
        elif getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            words = f"{named}: is not the key of mqtt.tls.certificate {certificate}"
        else:
            words = f"mqtt.tls.certificate {certificate}, {named}: no certificate and key that can be read, as PEM"
        raise SettingsError(words) from error


def _without_delay(_client: mqtt.Client, _user: object, sock: Any) -> None:  # noqa: ANN401
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
