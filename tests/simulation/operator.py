"""Who commands the station: passes challenge parts and watches it in monitor mode; and what the station owes them then.

The operator holds the line for an announced challenge: nothing else is before the camera until it is answered.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulation.network import Broker
from simulation.scheduler import Scheduler

_PATIENCE_S = 8.0
_LOOK_S = 0.1
_QUIET_S = 1.0
"""Longer than a PLC repeats a trigger."""
_MINUTE_NS = 60_000_000_000
_AHEAD_NS = 60_000_000_000
GRACE_NS = 3_000_000_000
"""So soon after it must not act on verdicts any more the station says so."""


@dataclass
class Operator:
    """Asks, waits for the answer, and remembers what was promised."""

    scheduler: Scheduler
    broker: Broker
    base: str
    hours: float
    """A challenge is wanted so often; 0 is never."""
    held: bool = False
    """No other part passes."""
    announced: bool = False
    """It was said that the next part is the challenge, and no part was taken for it yet."""
    announcements: int = 0
    monitored_until_ns: int = 0
    """Wall clock; 0 is not that anybody had promised it."""
    passed_ns: int = 0
    failed: bool = False
    _watches: bool = False
    _acks: dict[str, str] = field(default_factory=dict)
    _withheld_since: int | None = None

    def ask(self, command: str, then: Callable[[], None], otherwise: Callable[[], None], **args: int | bool) -> None:
        """Send a command and go on when it is done, or when nobody says so."""
        name = f"{command}-{len(self._acks)}"
        self._acks[name] = ""
        text = json.dumps({"correlation_id": name, "by": "Maria", "args": args})
        if self.broker.up:
            self.broker.send(f"{self.base}/cmd/{command}", text.encode())
        self.when(
            lambda: bool(self._acks[name]), lambda: then() if self._acks[name] == "done" else otherwise(), otherwise
        )

    def hear_ack(self, payload: bytes) -> None:
        """Learn what became of a command."""
        ack = json.loads(payload)
        if ack["correlation_id"] in self._acks:
            self._acks[ack["correlation_id"]] = ack["status"]

    def when(self, holds: Callable[[], bool], then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """Go on one way when something is so, the other way when it is not so in time."""
        limit = self.scheduler.now + int(_PATIENCE_S * 1e9)

        def look() -> None:
            if holds():
                then()
            elif self.scheduler.now > limit:
                otherwise()
            else:
                self.scheduler.after(_LOOK_S, look)

        look()

    def challenge(
        self, is_idle: Callable[[], bool], pass_part: Callable[[], str], is_answered: Callable[[str], bool]
    ) -> None:
        """Hold the line, announce a known-bad part, pass it, wait for its answer, and let the line go on."""
        self.held = True

        def go_on() -> None:
            self.held = False

        def announced() -> None:
            self.announced = True
            name = pass_part()
            self.when(lambda: is_answered(name), go_on, go_on)

        def announce() -> None:
            self.announcements += 1
            self.ask("challenge", announced, go_on)

        self.when(is_idle, lambda: self.scheduler.after(_QUIET_S, announce), go_on)

    def watch(self, seconds: float) -> None:
        """Have the station in monitor mode for a while; whoever watches already is not disturbed."""
        if self._watches:
            return
        self._watches = True
        until = self.scheduler.wall() + _MINUTE_NS

        def begun() -> None:
            self.monitored_until_ns = min(until, self.scheduler.wall() + _MINUTE_NS)
            self.scheduler.after(seconds, end)

        def end() -> None:
            self.monitored_until_ns = 0  # from here on it may be over at any time
            self.look()
            self.ask("monitor", over, over, minutes=0)

        def over() -> None:
            self._watches = False

        self.ask("monitor", begun, end, minutes=1)

    def is_monitored(self) -> bool:
        """Say whether the station promised that verdicts are only looked at now."""
        return self.scheduler.wall() < self.monitored_until_ns

    def note(self, result: dict[str, Any], recorded_ns: int) -> None:
        """Learn how a challenge came out."""
        if result["verdict"] != "NG":
            self.failed = True
        elif not result["replayed"]:
            self.failed, self.passed_ns = False, recorded_ns
        self.look()

    def forget(self) -> None:
        """Begin to learn anew, after a power cut."""
        self.failed, self.passed_ns = False, 0

    def look(self) -> None:
        """See whether anybody may act on verdicts; whenever that may have changed otherwise than by waiting."""
        wall = self.scheduler.wall()
        age = wall - self.passed_ns
        overdue = self.hours and (not self.passed_ns or age > self.hours * 3600e9 or age < -_AHEAD_NS)
        if not (self.failed or overdue or self.is_monitored()):
            self._withheld_since = None
        elif self._withheld_since is None:
            self._withheld_since = self.scheduler.now

    def withheld_long(self) -> bool:
        """Say whether the station has had the time to say that nobody may act on verdicts."""
        self.look()
        return self._withheld_since is not None and self.scheduler.now - self._withheld_since > GRACE_NS
