"""The topic tree of the published contract, and which names may stand in it."""

import re
from dataclasses import dataclass

from edge_inspector.errors import SettingsError

CONTRACT_VERSION = 1
DEFAULT_ROOT = "edge-inspector/v1"
_FORBIDDEN = re.compile(r"[\s+#/$\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the contract."""

    name: str
    """Below the base topic."""
    qos: int
    retain: bool
    payload: str
    when: str


TOPICS = (
    Topic("result", 1, False, "JSON, one a part", "every inspection; all are kept through an outage"),
    Topic("image/thumb", 1, False, "JPEG, boxes drawn", "by setting: all, not_ok, none"),
    Topic("event", 1, False, "JSON", "raised and cleared; kept through an outage"),
    Topic("availability", 1, True, "`online` or `offline`", "connect, stop, last will"),
    Topic("info", 1, True, "JSON", "on connect"),
    Topic("health", 1, True, "JSON", "on change, and every 10 s"),
    Topic("last/result", 1, True, "JSON", "every inspection, for late joiners"),
    Topic("last/thumb", 0, True, "JPEG", "with image/thumb, for late joiners"),
    Topic("counters", 1, True, "JSON", "every inspection"),
    Topic("counters/shift/{name}", 1, True, "JSON", "end of the shift"),
    Topic("recipe", 1, True, "JSON", "on change"),
    Topic("alarms", 1, True, "JSON", "on change"),
    Topic("collection", 1, True, "JSON", "while images are collected to train from, and at later starts"),
    Topic("ack", 1, False, "JSON", "every command"),
    Topic("plc/word", 1, True, "`seq;trigger_id;code;error;defects;score;serial`", "every live inspection"),
    Topic("plc/ready", 1, True, "`0` or `1`", "on change, last will 0"),
    Topic("plc/heartbeat", 0, False, "0 to 65535", "every second"),
    Topic("plc/state", 1, True, "PackML state number", "on change"),
    Topic("plc/verdict", 1, True, "verdict, for displays only", "every live inspection"),
    Topic("plc/score", 1, True, "score, for displays only", "every live inspection"),
    Topic("plc/defects", 1, True, "number of blobs, for displays only", "every live inspection"),
    Topic("plc/total", 1, True, "parts, for displays only", "every live inspection"),
    Topic("plc/ng_total", 1, True, "NG parts, for displays only", "every live inspection"),
)
"""What the daemon publishes."""

COMMANDS = (
    *("trigger", "part", "pause", "resume", "reset_counters"),
    *("feedback", "self_check", "resend", "challenge", "monitor", "collect"),
)
"""What is answered below `cmd/`; others are rejected."""

PLC_COMMANDS = ("trigger", "part", "reset")
"""What is heard below `plc/cmd/`; plain text, answered by `plc/word` and `plc/ready`."""

_BY_NAME = {topic.name: topic for topic in TOPICS}


def topic_of(name: str) -> Topic:
    """Return the contract's row for a topic below the base."""
    return _BY_NAME["counters/shift/{name}" if name.startswith("counters/shift/") else name]


def pool_topic(root: str, pool: str) -> str:
    """Return the topic below which the cameras of a pool send.

    `/{camera}` are its images, `/{camera}/result` what became of them, `/{camera}/availability` whether it is there.
    Beside the root and not below it: whoever listens to all stations (`{root}/#`) is not to get every image.
    """
    return f"{root}-pictures/{pool}"


def workers_topic(root: str, pool: str) -> str:
    """Return the topic below which each worker of a pool says by which bundles it judges, `/{station}`, retained.

    Beside `pool_topic` and not below it, where a camera could have any name.
    """
    return f"{root}-workers/{pool}"


def check_name(name: str, what: str) -> str:
    """Return a station's or part's name that may become a topic and a path.

    Raises:
        SettingsError: empty, too long, `.` first, or with a space, a control character or one of + # / $.
    """
    if not name or len(name) > 64 or name.startswith(".") or _FORBIDDEN.search(name) or not name.isprintable():
        raise SettingsError(
            f"{what} {name!r}: expected 1 to 64 characters, no space, control character or + # / $, and no dot first"
        )
    return name


def check_root(root: str) -> str:
    """Return a topic root, any Unified Namespace path.

    Raises:
        SettingsError: a level of it is not allowed.
    """
    for level in root.split("/"):
        check_name(level, "topic root level")
    return root
