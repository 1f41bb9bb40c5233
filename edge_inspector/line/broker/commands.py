"""What operators and PLCs ask of a station, on its way from who hears it to who does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

AckStatus: TypeAlias = Literal["accepted", "done", "rejected", "duplicate", "expired"]
Answer: TypeAlias = tuple[AckStatus, str]
"""A status and its reason."""


@dataclass(frozen=True, slots=True)
class AcceptedCommand:
    """A command that may be carried out; whoever does answers with `CommandOutcome`."""

    name: str
    by: str
    args: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    correlation_id: str = ""
    response_topic: str = ""
    correlation: bytes = b""


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What became of a command."""

    asked: AcceptedCommand
    status: AckStatus
    reason: str = ""
