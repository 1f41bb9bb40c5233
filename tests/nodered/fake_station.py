"""A station that speaks the contract of MQTT.md, without a daemon: rendered parts, results, state, commands heard."""

import datetime as dt
import json
import uuid
from typing import Any, Self

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from brokers import until
from numpy.typing import NDArray
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

CAMERA = (1280, 960)
THUMB = (640, 480)
PARTS = ("flange", "bracket", "cover")
SCORES = {"OK": 0.34, "NG": 1.62, "REVIEW": 0.93}
REASON_CODES = {"OK": 0, "NG": 1, "REVIEW": 2, "INVALID": 103, "ERROR": 203}
REASONS = {
    "OK": "no blob of 40 px over the limit",
    "NG": "{n} blob(s) over the limit, largest {largest} px",
    "REVIEW": "one blob close to the limit",
    "INVALID": "the image ends after 4096 of 61337 bytes",
    "ERROR": "no answer within 500 ms",
}
THUMB_MESSAGE = {
    "kind": "thumb",
    "topic": "image/thumb",
    "width": THUMB[0],
    "height": THUMB[1],
    "camera_width": CAMERA[0],
    "camera_height": CAMERA[1],
}
Box = tuple[int, int, int, int]


def area_of(box: Box) -> int:
    """Return the area that a scratch fills of its box."""
    return box[2] * box[3] // 3


def stamp(moment: dt.datetime | None = None) -> str:
    """Return a moment, now by default, as the contract writes times."""
    moment = moment or dt.datetime.now(dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def draw_part(boxes: tuple[Box, ...], seed: int) -> NDArray[np.uint8]:
    """Return a rendered turned part, uint8 480x640x3, with a scratch inside each of the `boxes` (camera pixels)."""
    noise = np.random.default_rng(seed)
    image = np.full((THUMB[1], THUMB[0], 3), (58, 54, 50), np.uint8)
    cv2.circle(image, (320, 240), 196, (150, 148, 144), -1, cv2.LINE_AA)
    for radius in range(186, 96, -6):
        shade = 150 + int(14 * np.sin(radius))
        cv2.circle(image, (320, 240), radius, (shade, shade, shade - 4), 3, cv2.LINE_AA)
    cv2.circle(image, (320, 240), 92, (120, 118, 114), -1, cv2.LINE_AA)
    cv2.circle(image, (320, 240), 62, (44, 42, 40), -1, cv2.LINE_AA)
    for turn in range(6):
        angle = turn * np.pi / 3 + 0.2
        centre = (int(320 + 140 * np.cos(angle)), int(240 + 140 * np.sin(angle)))
        cv2.circle(image, centre, 15, (52, 50, 48), -1, cv2.LINE_AA)
    for x, y, width, height in boxes:
        start, end = (x // 2 + 4, y // 2 + 4), ((x + width) // 2 - 4, (y + height) // 2 - 4)
        cv2.line(image, start, end, (40, 40, 60), 3, cv2.LINE_AA)
    grain = noise.normal(0, 5, image.shape)
    blurred: NDArray[np.float64] = cv2.GaussianBlur(grain, (3, 3), 0)
    return np.clip(image + 2 * blurred, 0, 255).astype(np.uint8)


def encode_thumb(image: NDArray[np.uint8], part_id: str) -> bytes:
    """Return a JPEG whose comment segment says which part it shows."""
    jpeg: bytes = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    comment = f"id={part_id}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


class Station:
    """One inspection station on the broker: publishes what it is told to, and remembers the commands it hears."""

    def __init__(self, port: int, root: str = "edge-inspector/v1", name: str = "press-1", version: int = 5) -> None:
        self.base = f"{root}/{name}"
        self.name = name
        self.port = port
        self.seq = 0
        self.ledger = uuid.uuid4().hex
        self.counts = dict.fromkeys(("total", "ok", "ng", "review", "invalid", "error", "replayed"), 0)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.since = stamp()
        self.version = version
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion(version))
        self.client.will_set(f"{self.base}/availability", "offline", 1, retain=True)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._welcome
        self.client.on_message = self._hear

    def __enter__(self) -> Self:
        """Connect and say online."""
        self.client.connect("127.0.0.1", self.port, keepalive=15)
        self.client.loop_start()
        until(self.client.is_connected, "the station is connected")
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect without saying offline."""
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_connect = self.client.on_message = None  # a circle, which would keep sockets open

    def _welcome(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(f"{self.base}/cmd/+", 1)
        client.publish(f"{self.base}/availability", "online", 1, retain=True)

    def _hear(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self.heard.append((message.topic.rsplit("/", 1)[1], json.loads(message.payload)))

    def send(self, leaf: str, payload: object, *, retain: bool = False, part_id: str = "") -> None:
        """Publish bytes and text as they are and everything else as JSON, and return when the broker has it."""
        properties = None
        if part_id and self.version == mqtt.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = ("id", part_id)
        body = payload if isinstance(payload, bytes | str) else json.dumps(payload, allow_nan=False)
        self.client.publish(f"{self.base}/{leaf}", body, 1, retain, properties).wait_for_publish(30)

    def drop(self) -> None:
        """Vanish as a cut cable would, for good: the broker speaks the last will."""
        connection = self.client.socket()
        self.client.loop_stop()
        if connection is not None:
            connection.close()

    def health(self, state: str = "RUNNING", **changes: object) -> None:
        """Publish the station's state."""
        message: dict[str, object] = {
            "schema_version": 1,
            "state": state,
            "since": self.since,
            "stages": {},
            "broker": "connected",
            "undelivered": {"count": 0, "oldest_s": 0.0},
            "disk_free_mb": 81234,
            "engine": "openvino float32",
            "source": {"open": True, "detail": "/var/lib/edge-inspector/in"},
            "last_error": "",
        }
        self.send("health", message | changes, retain=True)

    def counters(self) -> None:
        """Publish the counts so far."""
        judged = self.counts["ok"] + self.counts["ng"] + self.counts["review"]
        by_verdict = {verdict: self.counts[verdict.lower()] for verdict in REASONS}
        share = {"yield": self.counts["ok"] / judged if judged else None, "parts_per_minute": 42.5}
        message = {"schema_version": 1, "since": self.since, **self.counts, **share, "by_part": {"flange": by_verdict}}
        self.send("counters", message, retain=True)

    def recipe(self, active: str = "flange") -> None:
        """Publish what this station can inspect."""
        parts = [{"part": part, "bundle": f"{part}-2026-11", "threshold": 3.2} for part in PARTS]
        self.send("recipe", {"schema_version": 1, "active": active, "available": parts}, retain=True)

    def collection(self, state: str = "taking", *, last: dict[str, object] | None = None, **changes: object) -> None:
        """Publish how collecting images of good parts goes."""
        image = {
            "id": "id-1",
            "file": "SN-1.png",
            "verdict": "OK",
            "sharpness": 1.0,
            "brightness": 120.0,
            "black": 0.0,
            "white": 0.07,
            "flaws": [],
        }
        message: dict[str, object] = {
            "schema_version": 1,
            "state": state,
            "detail": "",
            "part": "flange",
            "by": "Maria",
            "since": self.since,
            "is_new": False,
            "folder": "/var/lib/edge-inspector/press-1/collected/flange-20260101-120000",
            "views": [],
            "wanted": 50,
            "taken": 0,
            "not_ok": 0,
            "passed_over": 0,
            "last": None if last is None else image | last,
        }
        self.send("collection", message | changes, retain=True)

    def result(self, verdict: str = "OK", boxes: tuple[Box, ...] = (), **changes: object) -> dict[str, Any]:
        """Return the next part's result; nothing is sent."""
        self.seq += 1
        score = SCORES.get(verdict)
        blobs = [{"box": list(box), "area": area_of(box), "peak": 6.1, "over_threshold": True} for box in boxes]
        now = stamp()
        message: dict[str, Any] = {
            "schema_version": 1,
            "id": str(uuid.uuid4()),
            "ledger": self.ledger,
            "seq": self.seq,
            "station": self.name,
            "part": "flange",
            "serial": f"SN-{47000 + self.seq}",
            "lot": "L-2611",
            "view": "top",
            "trigger_id": "",
            "verdict": verdict,
            "reason": REASONS[verdict].format(n=len(boxes), largest=max(map(area_of, boxes), default=0)),
            "reason_code": REASON_CODES[verdict],
            "accept": verdict == "OK",
            "score": score,
            "margin": None if score is None else 1 - score,
            "blobs": blobs,
            "images": [THUMB_MESSAGE],
            "quality": {},
            "bundle": {"id": "flange-2026-11", "detector": "cae", "calibration": "c1"},
            "captured_at": now,
            "captured_at_source": "grab",
            "decided_at": now,
            "timing_ms": {"total": 38.2},
            "replayed": False,
            "simulated": False,
        }
        return message | changes

    def thumb(self, part_id: str, boxes: tuple[Box, ...] = (), *, leaf: str = "image/thumb") -> None:
        """Publish the image of one part."""
        self.send(
            leaf, encode_thumb(draw_part(boxes, self.seq), part_id), retain=leaf.startswith("last/"), part_id=part_id
        )

    def part(self, verdict: str = "OK", boxes: tuple[Box, ...] = (), **changes: object) -> dict[str, Any]:
        """Judge one part: result, image and counters, as a daemon sends them."""
        message = self.result(verdict, boxes, **changes)
        self.counts["total"] += 1
        self.counts[verdict.lower()] += 1
        self.send("result", message)
        self.thumb(message["id"], boxes)
        self.send("last/result", message, retain=True)
        self.thumb(message["id"], boxes, leaf="last/thumb")
        self.counters()
        return message
