"""What many verdicts say together: errors that only a new start may cure, rejects that point at the process."""

from collections import deque
from dataclasses import dataclass

from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.settings import StationSettings
from edge_inspector.wire.messages import Result

_CURABLE = frozenset(reason.number for reason in (Reason.EXCEPTION, Reason.NOT_FINITE, Reason.LATE))
"""Errors of this process itself; a missing bundle or camera stays missing after a new start."""
_JUDGED = (Verdict.OK, Verdict.NG, Verdict.REVIEW)


@dataclass(frozen=True, slots=True)
class Concern:
    """What is wrong with the run of verdicts; empty strings are good."""

    errors: str = ""
    """Why the program should start again."""
    rejects: str = ""
    """Why somebody should look at the process."""


class VerdictRuns:
    """Counts live verdicts; belongs to the supervising thread alone."""

    def __init__(self, settings: StationSettings) -> None:
        self._settings = settings
        self._errors = 0
        self._rejects = 0
        self._recent: deque[bool] = deque(maxlen=settings.ng_rate_parts)

    def take(self, result: Result) -> None:
        """Learn of a verdict; what was judged after its time, or is meant to be bad, says nothing of the line now."""
        if result.replayed or result.challenge:
            return
        self._errors = self._errors + 1 if result.reason_code in _CURABLE else 0
        if result.verdict in _JUDGED:
            rejected = result.verdict is Verdict.NG
            self._rejects = self._rejects + 1 if rejected else 0
            self._recent.append(rejected)

    def forget(self) -> None:
        """Begin again: somebody has looked, or another part is on."""
        self._errors = self._rejects = 0
        self._recent.clear()

    def concern(self) -> Concern:
        """Return what is wrong."""
        return Concern(self._errors_in_a_row(), self._rejects_in_a_row() or self._too_many_rejects())

    def _errors_in_a_row(self) -> str:
        limit = self._settings.errors_to_restart
        if not limit or self._errors < limit:
            return ""
        return f"{self._errors} consecutive parts could not be judged: the program restarts"

    def _rejects_in_a_row(self) -> str:
        limit = self._settings.ng_in_a_row
        if not limit or self._rejects < limit:
            return ""
        return f"{self._rejects} consecutive parts are NG: check the process, the light and the camera"

    def _too_many_rejects(self) -> str:
        limit, parts = self._settings.ng_rate_percent, self._settings.ng_rate_parts
        if not limit or len(self._recent) < parts:
            return ""
        percent = 100 * sum(self._recent) / parts
        return "" if percent <= limit else f"{percent:.0f} % of the last {parts} parts are NG, more than {limit:g} %"
