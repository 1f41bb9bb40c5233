"""What operators and PLCs ask of a station, done."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.commands import AcceptedCommand, Answer
from edge_inspector.line.collect.request import CollectionRequest, request_for
from edge_inspector.line.environment import Now
from edge_inspector.line.ledger.monitor import monitor_for
from edge_inspector.line.ledger.station_state import StationState
from edge_inspector.line.station.changeover import CurrentPart
from edge_inspector.wire.messages import utc


@dataclass(frozen=True, slots=True)
class Commands:
    """Carries out commands; belongs to the supervising thread alone."""

    state: StationState = field(repr=False)
    current: CurrentPart = field(repr=False)
    paused: threading.Event = field(repr=False)
    reset_alarms: Callable[[], None] = field(repr=False)
    begin_check: Callable[[AcceptedCommand], Answer] = field(repr=False)
    """Has golden images judged; their result is looked for later."""
    collect: Callable[[CollectionRequest], str] = field(repr=False)
    """Begins or ends a collection of images, and says why not."""
    is_pool: bool
    """Whether the station has a share of the images only."""
    now_ns: Now = field(repr=False)
    monotonic_ns: Now = field(repr=False)

    def carry_out(self, asked: AcceptedCommand) -> Answer:
        """Do what was asked, and return status and reason."""
        match asked.name:
            case "pause":
                self.paused.set()
            case "resume":
                self.paused.clear()
            case "reset_alarms":
                self.reset_alarms()
            case "challenge":
                return self._announce_challenge(asked)
            case "monitor":
                return self._set_monitor(asked)
            case "collect":
                return self._collect(asked)
            case "self_check" | "part":
                return self.begin_check(asked)
            case _:
                return "rejected", f"nobody here does {asked.name}"
        return "done", ""

    def end_collection(self, by: str) -> None:
        """End the collection that is going on."""
        self._collect(AcceptedCommand("collect", by, {"count": 0}))

    def _announce_challenge(self, asked: AcceptedCommand) -> Answer:
        """Commit that the next part is a challenge before anybody is told so."""
        cancel = asked.args.get("cancel", False)
        if not isinstance(cancel, bool):
            return "rejected", "expected args cancel (true or false), or none"
        try:
            self.state.announce_challenge("" if cancel else asked.by)
        except DiskError as error:
            return "rejected", str(error)
        return "done", "" if cancel else "the next part is the challenge"

    def _set_monitor(self, asked: AcceptedCommand) -> Answer:
        try:
            monitor = monitor_for(asked.by, asked.args.get("minutes"), self.now_ns())
            self.state.set_monitor(monitor)
        except (ValueError, DiskError) as error:
            return "rejected", str(error)
        return "done", f"until {utc(monitor.until_ns)}" if monitor.until_ns else ""

    def _collect(self, asked: AcceptedCommand) -> Answer:
        if self.is_pool:
            return "rejected", "this station has a share of the images only: collect them where the camera is"
        moment = {"now_ns": self.now_ns(), "monotonic_ns": self.monotonic_ns()}
        try:
            request = request_for(asked.by, asked.args, active=self.current.name, known=self.current.known, **moment)
        except ValueError as error:
            return "rejected", str(error)
        refused = self.collect(request)
        return ("rejected", refused) if refused else ("done", "")
