"""Whether the PLC may send parts."""

from dataclasses import dataclass

from edge_inspector.line.health.health import PACKML, StateName


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether the PLC may send parts, and the station's PackML state."""

    ready: bool
    packml: int
    withheld: bool = False
    """Not ready only because nobody may act on verdicts: a trigger gets its image, and no OK."""

    @property
    def takes_triggers(self) -> bool:
        """Whether an image is taken when one is asked for."""
        return self.ready or self.withheld


class Readiness:
    """What the PLC was told last; belongs to the supervising thread alone."""

    def __init__(self) -> None:
        self._said = Ready(ready=False, packml=0)

    def change(self, state: StateName, *, blocked: bool, withheld: bool) -> Ready | None:
        """Return what the PLC must be told now; None where it knows: it ticks at every message it gets.

        Args:
            state: the station's.
            blocked: no further part can be taken for now.
            withheld: nobody may act on verdicts.
        """
        able = state in ("READY", "RUNNING") and not blocked
        ready = Ready(ready=able and not withheld, packml=PACKML[state], withheld=able and withheld)
        if ready == self._said:
            return None
        self._said = ready
        return ready
