"""Whether the broker lets a station say all that the contract names: each topic is tried, and must come back.

With MQTT 3.1.1 a publish that an ACL refuses looks accepted, so only the echo counts. Nothing is retained, nothing may
be taken for news of a part: results are simulated ERRORs of a ledger `check`, the PLC hears code 0 and not ready. The
station's own client ids are used, because an ACL may tell them apart; so no daemon of the station may run meanwhile.
Commands cannot be tried from here: only who may command may publish them.
"""

import queue
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_inspector import __version__
from edge_inspector.inspection.model import Identity, Judgement, Reason
from edge_inspector.line.broker.legacy import ROOT as LEGACY_ROOT
from edge_inspector.line.broker.link import (
    FORCES_CLIENT_IDS,
    LACKS_RETAIN,
    Acknowledged,
    ConnectionLost,
    ConnectionOptions,
    Inbox,
    Incoming,
    Link,
    Will,
    connect,
    forces_client_ids,
)
from edge_inspector.line.environment import Now
from edge_inspector.settings import MqttSettings
from edge_inspector.wire.messages import (
    Ack,
    Alarms,
    Event,
    Health,
    Info,
    RecipeMessage,
    ShiftCounters,
    SourceHealth,
    Undelivered,
    result_of,
    utc,
)
from edge_inspector.wire.plcword import busy_word
from edge_inspector.wire.topics import TOPICS, Topic

_PATIENCE_NS = 3_000_000_000
_WHO = "check"
_IMAGE = b"\xff\xd8\xff\xfe\x00\x0aid=check\xff\xd9"
"""A JPEG's frame with an id, and no image in it."""
_WHY = "a probe of `edge-inspector check`"
_EPOCH = utc(0)
_NO_COUNTERS = ShiftCounters.model_validate(
    {
        **dict.fromkeys(("total", "ok", "ng", "review", "invalid", "error", "replayed"), 0),
        **dict.fromkeys(("since", "until"), _EPOCH),
        "shift": _WHO,
        "yield": None,
        "parts_per_minute": 0,
        "by_part": {},
    }
).encode()
"""Valid for `counters` too, whose readers ignore fields that they do not know."""
_PAYLOADS = {
    "counters": _NO_COUNTERS,
    "counters/shift/{name}": _NO_COUNTERS,
    "plc/state": b"2",
    "plc/verdict": b"ERROR",
    "image/thumb": _IMAGE,
    "last/thumb": _IMAGE,
    "availability": b"offline",
    "event": Event(code=_WHO, severity="info", active=False, message=_WHY, since=_EPOCH).encode(),
    "health": Health(
        state="STOPPING",
        since=_EPOCH,
        stages={},
        broker="connected",
        undelivered=Undelivered(count=0, oldest_s=0),
        disk_free_mb=0,
        engine=_WHO,
        source=SourceHealth(open=False, detail=_WHY),
        last_error="",
    ).encode(),
    "recipe": RecipeMessage(active="", available=()).encode(),
    "alarms": Alarms(active=()).encode(),
    "ack": Ack(command=_WHO, correlation_id=_WHO, status="done", reason=_WHY).encode(),
}
"""The rest are numbers: 0."""
_CONNECTION_OF = {"result": "results", "image/thumb": "results", "event": "results"}


@dataclass(frozen=True, slots=True)
class Refused:
    """A topic, or a whole connection, that the broker does not allow."""

    what: str
    why: str


def is_spoken_for(mqtt: MqttSettings, station: str) -> bool:
    """Whether a daemon, here or elsewhere, says that it is the station: its retained `availability` is online.

    Raises:
        ConnectionError: the broker cannot be asked; the message says why.
    """
    inbox: Inbox = queue.SimpleQueue()
    link = connect(ConnectionOptions(mqtt, f"{station}-{_WHO}", inbox, subscribe=f"{mqtt.root}/{station}/availability"))
    if not isinstance(link, Link):
        raise ConnectionError(link)
    try:
        said = inbox.get(timeout=1.0)
    except queue.Empty:
        return False
    finally:
        link.close()
    return isinstance(said, Incoming) and said.payload == b"online"


def probe(mqtt: MqttSettings, station: str, plc_seq: int, monotonic_ns: Now) -> Iterator[Refused]:
    """Yield what the broker refuses of what the station will say, over each of its three connections.

    Args:
        mqtt: the broker.
        station: its name.
        plc_seq: a number for the PLC's word that no word has used.
        monotonic_ns: to wait by.
    """
    if forces_client_ids(ConnectionOptions(mqtt, f"{station}-{_WHO}", queue.SimpleQueue())):
        yield Refused("client ids", FORCES_CLIENT_IDS)
        return
    for connection in ("results", "state", "plc"):
        messages = {
            f"{mqtt.root}/{station}/{name}": (topic, payload)
            for topic, name, payload in _probes(station, plc_seq)
            if _connection_of(topic) == connection
        }
        if connection == "state" and mqtt.legacy:
            rate = Topic("parts_minute", 0, retain=False, payload="", when="")
            messages[f"{LEGACY_ROOT}/parts_minute"] = (rate, b"0.0")
        yield from _try(_dial(mqtt, station, connection), messages, monotonic_ns)


def _dial(mqtt: MqttSettings, station: str, connection: str) -> ConnectionOptions:
    """Return how the daemon makes this connection, its will included."""
    wills = {"state": ("availability", "offline"), "plc": ("plc/ready", "0")}
    will = Will(f"{mqtt.root}/{station}/{wills[connection][0]}", wills[connection][1]) if connection in wills else None
    return ConnectionOptions(mqtt, f"{station}-{connection}", queue.SimpleQueue(), will)


def _connection_of(topic: Topic) -> str:
    return "plc" if topic.name.startswith("plc/") else _CONNECTION_OF.get(topic.name, "state")


def _try(
    options: ConnectionOptions, messages: Mapping[str, tuple[Topic, bytes]], monotonic_ns: Now
) -> Iterator[Refused]:
    """Publish each message over one connection and yield those that do not come back."""
    link, inbox = connect(options), options.inbox
    if not isinstance(link, Link):
        yield Refused(f"connection {options.client_id}", link)
        return
    if not link.retains:
        link.close()
        yield Refused("retained messages", LACKS_RETAIN)
        return
    try:
        for whole, (topic, payload) in messages.items():
            link.subscribe(whole)
            link.publish(whole, payload, topic.qos, retain=False)
        refused = _missing(link, inbox, {whole: payload for whole, (_, payload) in messages.items()}, monotonic_ns)
    finally:
        link.close()
    yield from (Refused(whole, why) for whole, why in refused.items())


def _missing(link: Link, inbox: Inbox, sent: Mapping[str, bytes], monotonic_ns: Now) -> dict[str, str]:
    """Wait for the echo of each message and return those without one, with the reason."""
    missing = dict.fromkeys(sent, "nothing came back: it may not be published, or not be read by the station")
    refused: dict[str, str] = {}
    deadline = monotonic_ns() + _PATIENCE_NS
    while missing and (left := deadline - monotonic_ns()) > 0:
        try:
            message = inbox.get(timeout=left / 1e9)
        except queue.Empty:
            break
        match message:
            case Incoming(topic=topic, payload=payload, retained=False) if sent.get(topic) == payload:
                missing.pop(topic, None)
            case Acknowledged() if topic := link.refusal(message):
                refused[topic] = message.refused
                missing.pop(topic, None)
            case ConnectionLost(link=lost, why=why) if lost is link:
                return refused | dict.fromkeys(missing, f"the connection was lost: {why}")
            case _:
                pass
    return refused | missing


def _probes(station: str, plc_seq: int) -> Iterator[tuple[Topic, str, bytes]]:
    """Yield each row of the contract, its topic below the base, and a valid message that means nothing."""
    payloads = {
        **_PAYLOADS,
        "result": _result(station),
        "last/result": _result(station),
        "info": Info(version=__version__, host=_WHO, station=station, source=_WHO, parts=()).encode(),
        "plc/word": busy_word(plc_seq).encode(),
    }
    for topic in TOPICS:
        yield topic, topic.name.replace("{name}", _WHO), payloads.get(topic.name, b"0")


def _result(station: str) -> bytes:
    identity = Identity(_WHO, station, _WHO, 0, "grab", replayed=True)
    judgement = Judgement(Reason.REFUSED, _WHY)
    result = result_of(identity, judgement, ledger=_WHO, seq=1, bundle=None, images=(), decided_ns=0, timing_ms={})
    return result.model_copy(update={"simulated": True}).encode()
