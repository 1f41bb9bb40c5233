"""Whether all workers of a pool judge by the same bundles: each says which it has, and hears what the others have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from edge_inspector.wire.messages import RecipeMessage

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Peers:
    """One worker's view of its pool; for the thread of one connection."""

    topic: str
    """Below it each worker's `recipe` is retained, under its station's name."""
    station: str
    _bundles: dict[str, Mapping[str, str]] = field(default_factory=dict, init=False)
    """By worker, ours too: the bundle of each part."""

    def hear(self, worker: str, payload: bytes) -> None:
        """Learn which bundles a worker has; an empty message, or one that cannot be read, says that it has none."""
        try:
            said = RecipeMessage.model_validate_json(payload)
        except ValidationError:
            self._bundles.pop(worker, None)
        else:
            self._bundles[worker] = {part.part: part.bundle for part in said.available}

    def difference(self) -> str:
        """Return who judges a part by another bundle than we do, or does not know it; empty where all are alike."""
        ours = self._bundles.get(self.station, {})
        found = [
            f"{worker} judges {part} by bundle {theirs[part]}, this one by {bundle}"
            if part in theirs
            else f"{worker} has no part {part}"
            for worker, theirs in sorted(self._bundles.items())
            for part, bundle in sorted(ours.items())
            if theirs.get(part) != bundle
        ]
        return "; ".join(found[:_SHOWN])
