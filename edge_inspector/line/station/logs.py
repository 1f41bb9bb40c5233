"""How a log line looks: words for people, or JSON; with its severity in front where the journal reads it."""

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

_SEVERITY = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""sd-daemon(3), from syslog."""


class _Words(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")


class _Json(logging.Formatter):
    """One object a line: time (UTC), level, logger, thread, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {
            "time": time,
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _ForJournal(logging.Formatter):
    """Puts `<4>` before each line of another format; the journal takes it away and knows that it is a warning."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        severity = next((number for level, number in _SEVERITY if record.levelno >= level), 7)
        return "\n".join(f"<{severity}>{line}" for line in self._inner.format(record).splitlines())


def set_log_format(kind: Literal["text", "json"], handlers: Iterable[logging.Handler], *, journal: bool) -> None:
    """Have `handlers` write so; `journal` says that systemd's journal reads them."""
    formatter: logging.Formatter = _Json() if kind == "json" else _Words()
    for handler in handlers:
        handler.setFormatter(_ForJournal(formatter) if journal else formatter)
