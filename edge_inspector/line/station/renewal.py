"""What a station judges, at the start and after a reload: other parts and bundles, or why everything stays as it is."""

import json
import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from edge_inspector import __version__
from edge_inspector.bundle import Bundle
from edge_inspector.line.health.control_charts import Charts, make_charts
from edge_inspector.line.station.disclose import disclosed
from edge_inspector.line.station.stage import PartLine
from edge_inspector.settings import Settings, StationSettings
from edge_inspector.wire.messages import AvailablePart


@dataclass(frozen=True, slots=True)
class StationParts:
    """A station's parts with all that the supervisor says of them; everything in it has passed its checks."""

    station: StationSettings
    lines: Mapping[str, PartLine] = field(repr=False)
    available: tuple[AvailablePart, ...]
    configuration: str
    """Settings and bundles as the audit trail keeps them: JSON that may be shown."""
    charts: Mapping[str, Charts] = field(repr=False)
    """By part."""

    def why_not(self, part: str) -> str:
        """Return why a part cannot be judged; empty where it can."""
        return self.lines[part].why_not

    def unready_besides(self, active: str) -> str:
        """Return which other parts could not be changed over to; of the one that is on, the alarm `bundle` tells."""
        others = [
            f"part {name}: {line.why_not}" for name, line in self.lines.items() if line.why_not and name != active
        ]
        return "; ".join(others)


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a station goes on with; `taken` hears when the judging thread has it."""

    parts: StationParts
    taken: "queue.SimpleQueue[None]" = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reload that changed nothing."""

    why: str


Renewals: TypeAlias = "queue.SimpleQueue[Renewal | Refusal]"


def parts_of(
    settings: Settings, station: StationSettings, bundles: Mapping[str, Bundle], lines: Mapping[str, PartLine]
) -> StationParts:
    """Return what a station judges with these bundles."""
    available = tuple(
        AvailablePart(part=name, bundle=bundle.id, threshold=bundle.recipe.decision.threshold)
        for name, bundle in bundles.items()
    )
    return StationParts(station, lines, available, _configuration(settings, bundles), _charts(station, bundles))


def _configuration(settings: Settings, bundles: Mapping[str, Bundle]) -> str:
    """Return what a run begins or goes on with: settings, and the bundle and threshold of each part."""
    parts = {
        name: {"bundle": bundle.id, "threshold": bundle.recipe.decision.threshold} for name, bundle in bundles.items()
    }
    said = {"parts": parts, "software": __version__, "settings": disclosed(settings)}
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def _charts(station: StationSettings, bundles: Mapping[str, Bundle]) -> Mapping[str, Charts]:
    if not station.parts_per_hour:
        return {}
    return {
        name: make_charts(
            bundle.recipe, bundle.manifest.calibration.levels, station.parts_per_hour, np.random.default_rng(0)
        )
        for name, bundle in bundles.items()
    }
