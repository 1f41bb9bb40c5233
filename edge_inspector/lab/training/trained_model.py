"""A part that has been trained, before it has a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge_inspector import bundle as bundles
from edge_inspector.bundle import Bundle, DetectorCard, Provenance
from edge_inspector.engines.openvino import can_run
from edge_inspector.errors import DataError
from edge_inspector.inspection.align import Aligner
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.inspector import Detector, Inspector
from edge_inspector.inspection.model import AnomalyMap, Image, Reason, Verdict
from edge_inspector.inspection.preprocess import IgnoreMask, as_image, as_model_input, shrink
from edge_inspector.inspection.quality import Gate
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.units import level_of


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A part that has been trained: all of a bundle but the threshold, and the detector that will run."""

    recipe: Recipe
    """Its limits are placeholders."""
    detector_card: DetectorCard
    provenance: Provenance
    contents: Mapping[str, bytes]
    """Graphs, weights, reference images and mask, by file name."""
    detector: Detector
    ignore: IgnoreMask | None
    gate: Gate | None = None
    """Refuses images that cannot be judged."""
    aligner: Aligner | None = None
    """Finds the part; None where the recipe aligns nothing."""
    held_out: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Level of each good image that trained, by its digest, as judged by a model that has not seen it."""

    def map_of(self, image: bytes | Image) -> AnomalyMap | None:
        """Return the anomaly map of an image, None where the image is INVALID.

        Raises:
            DataError: the map is not finite.
        """
        inspector = Inspector(self.recipe, self.detector, self.ignore, lambda: 0, self.gate, self.aligner)
        inspection = inspector.inspect(image)
        if inspection.judgement.reason is Reason.NOT_FINITE:
            raise DataError("an anomaly map is not finite: the network is damaged, retrain the part")
        if inspection.evidence is None or inspection.judgement.verdict is Verdict.INVALID:
            return None
        return inspection.evidence.amap

    def is_refused(self, image: bytes | Image) -> bool:
        """Say whether an image is INVALID: of the wrong size, without the part, or beyond a limit of quality."""
        try:
            seen, _ = shrink(as_image(image, self.recipe.channels), self.recipe, self.aligner)
        except UnreadableImageError:
            return True
        if self.gate is None:
            return False
        return self.gate.refuse(self.gate.measure(seen, as_model_input(seen, self.recipe))) is not None

    def level(self, image: bytes | Image) -> float | None:
        """Return the level of an image, None where the image is INVALID."""
        amap = self.map_of(image)
        return None if amap is None else level_of(amap, self.recipe)


def model_of(bundle: Bundle, threads: int) -> TrainedModel:
    """Return what a bundle was made of, to give it another threshold; in float32 where its precision cannot be run."""
    kept = [name for name in bundle.manifest.files if not name.startswith("golden/")]
    card = bundle.manifest.detector
    if not can_run(card.precision):
        card = card.model_copy(update={"precision": "f32", "precision_shift": None})
        bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"detector": card}))
    return TrainedModel(
        recipe=bundle.recipe,
        detector_card=card,
        provenance=bundle.manifest.provenance,
        contents={name: (bundle.path / name).read_bytes() for name in kept},
        detector=bundles.open_detector(bundle, threads),
        ignore=bundle.ignore(),
        gate=bundle.gate(),
        aligner=bundle.aligner(),
    )
