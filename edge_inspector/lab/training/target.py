"""The rates that a limit is asked to keep."""

from dataclasses import dataclass

from edge_inspector.errors import UsageError

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Target:
    """What the user asks for; no false-reject rate means the best that the images support."""

    false_reject: float | None = None
    confidence: float = CONFIDENCE
    review: float | None = None
    """At most this share of good parts is NG, REVIEW or INVALID; None means no REVIEW."""

    def __post_init__(self) -> None:
        rates = (("--false-reject", self.false_reject), ("--confidence", self.confidence), ("--review", self.review))
        for name, value in rates:
            if value is not None and not 0 < value < 1:
                raise UsageError(f"{name} {value}: expected a number between 0 and 1, for instance 0.05")
        if self.review is not None and self.false_reject is not None and self.review <= self.false_reject:
            raise UsageError(
                f"--review {self.review}: expected more than --false-reject {self.false_reject}, which it includes"
            )
