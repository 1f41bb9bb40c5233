"""The prior system's topics, for dashboards that were built on them (reference prior-systems.md 1.6)."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from edge_inspector.inspection.inspector import Evidence
from edge_inspector.inspection.model import Judgement
from edge_inspector.inspection.overlays import heat_map
from edge_inspector.line.ticks import Answered
from edge_inspector.wire.messages import Counters

ROOT = "AiVision_Defects"
_IMAGES = ("input_image", "decoded_image", "loss_image", "defect_image")


@dataclass(frozen=True, slots=True)
class Legacy:
    """Turns an answer into what the prior system published, text and base64 PNG."""

    threshold_of: dict[str, float]
    """By part."""

    def show(self, evidence: Evidence, judgement: Judgement) -> tuple[bytes, ...]:
        """Return input, reconstruction, residual and defect mask as PNG, at the detector's size, on fixed scales."""
        del judgement
        threshold = next(iter(self.threshold_of.values()))
        mask = (evidence.amap >= np.float32(threshold)).astype(np.uint8) * 255
        features = evidence.features
        decoded = evidence.model_input
        if features.shape[1:] == (evidence.model_input.shape[2], *evidence.model_input.shape[:2]):
            decoded = np.clip(np.rint(features[0].transpose(1, 2, 0) * 255), 0, 255).astype(np.uint8)
        images = (evidence.model_input[..., ::-1], decoded[..., ::-1], heat_map(evidence.amap, threshold), mask)
        return tuple(bytes(cv2.imencode(".png", np.ascontiguousarray(image))[1]) for image in images)

    def messages(self, answered: Answered, counters: Counters) -> Iterator[tuple[str, bytes]]:
        """Yield topic and payload in the prior system's order: OK, and everything else NOK."""
        yield f"{ROOT}/result", b"OK" if answered.result.accept else b"NOK"
        for name, image in zip(_IMAGES, answered.shown, strict=False):
            yield f"{ROOT}/{name}", b64encode(image)
        yield from self.numbers(counters, "")
        yield f"{ROOT}/parts_minute", f"{counters.parts_per_minute:.1f}".encode()

    def numbers(self, counters: Counters, suffix: str) -> Iterator[tuple[str, bytes]]:
        """Yield the counters; `suffix` is `_shift_6` and the like at the end of a shift."""
        defects = counters.total - counters.ok
        percentage = round(100 * defects / counters.total) if counters.total else 0
        yield f"{ROOT}/defect_percentage{suffix}", f"{float(percentage)}".encode()
        yield f"{ROOT}/total{suffix}", str(counters.total).encode()
        yield f"{ROOT}/ok_parts{suffix}", str(counters.ok).encode()
        yield f"{ROOT}/defect_parts{suffix}", str(defects).encode()
