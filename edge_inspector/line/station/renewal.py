"""What a station is told of a reload: other parts and bundles, or why everything stays as it is."""

import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from edge_inspector.line.health.control_charts import Charts
from edge_inspector.line.station.stage import NewParts
from edge_inspector.settings import StationSettings
from edge_inspector.wire.messages import AvailablePart


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a station goes on with; everything in it has passed its checks."""

    station: StationSettings
    parts: NewParts = field(repr=False)
    available: tuple[AvailablePart, ...]
    configuration: str
    """As the audit trail keeps it."""
    charts: Mapping[str, Charts] = field(repr=False)
    """By part."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reload that changed nothing."""

    why: str


Renewals: TypeAlias = "queue.SimpleQueue[Renewal | Refusal]"
