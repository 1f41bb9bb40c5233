"""Which alarms are on, as everybody was told: an event tells each that is raised, and each that is cleared."""

from collections.abc import Iterable

from edge_inspector.line.health.health import Alarm
from edge_inspector.wire.messages import Alarms, Event, utc


class AlarmBoard:
    """The alarms that are on; belongs to the supervising thread alone."""

    def __init__(self) -> None:
        self._raised: dict[str, tuple[Alarm, str]] = {}
        """By code: the alarm as it was raised, and since when."""

    def update(self, current: Iterable[Alarm], now_ns: int) -> tuple[Event, ...]:
        """Take in what is wrong now, and return what has changed: what is new first, then what is over.

        Args:
            current: the alarms that are on.
            now_ns: Unix time.
        """
        on = {alarm.code: alarm for alarm in current}
        cleared = [code for code in self._raised if code not in on]
        raised = {code: (alarm, utc(now_ns)) for code, alarm in on.items() if code not in self._raised}
        self._raised |= raised
        return (
            *(_event(alarm, since, active=True) for alarm, since in raised.values()),
            *(_event(*self._raised.pop(code), active=False) for code in cleared),
        )

    def message(self) -> Alarms:
        """Return the topic `alarms`."""
        return Alarms(active=tuple(sorted(self._raised)))


def _event(alarm: Alarm, since: str, *, active: bool) -> Event:
    return Event(code=alarm.code, severity=alarm.severity, active=active, message=alarm.message, since=since)
