"""Golden images: they are judged again at every load, and their maps and verdicts must come out again."""

import io
from collections.abc import Sequence

import cv2
import numpy as np

from edge_inspector.bundle import GoldenCase
from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.inspection.placement import spread
from edge_inspector.inspection.preprocess import prepare
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.lab.data.dataset import GoodImage, read_image
from edge_inspector.lab.training import synthetic_defects as defects
from edge_inspector.lab.training.trained_model import TrainedModel


def make_golden(
    model: TrainedModel, recipe: Recipe, good: Sequence[GoodImage], levels: Sequence[float], rng: np.random.Generator
) -> tuple[tuple[GoldenCase, ...], dict[str, bytes]]:
    """Return two middling good images, the two nearest the threshold, and two synthetic defects, with their maps."""
    request = np.argsort(levels)
    below = [i for i in request if levels[i] < recipe.decision.lowest]
    chosen = [*request[len(request) // 2 :][:2], *below[-2:]]
    originals = [(good[i].path.suffix.lower(), good[i].path.read_bytes()) for i in chosen]
    spoiled = [(".png", _draw_in_camera_image(good[i], model, rng)) for i in chosen[:2]]
    inspector = Inspector(recipe, model.detector, model.ignore, lambda: 0, aligner=model.aligner)
    cases: list[GoldenCase] = []
    files: dict[str, bytes] = {}
    for number, (suffix, content) in enumerate([*originals, *spoiled]):
        inspection = inspector.inspect(content)
        score, evidence = inspection.judgement.score, inspection.evidence
        if score is None or evidence is None:
            raise DataError(f"a golden image cannot be judged: {inspection.judgement.detail}")
        case = GoldenCase(
            image=f"golden/{number}{suffix}",
            amap=f"golden/{number}.npy",
            verdict=inspection.judgement.verdict,
            score=score,
        )
        buffer = io.BytesIO()
        np.save(buffer, evidence.amap, allow_pickle=False)
        cases.append(case)
        files |= {case.image: content, case.amap: buffer.getvalue()}
    return tuple(cases), files


def _draw_in_camera_image(image: GoodImage, model: TrainedModel, rng: np.random.Generator) -> bytes:
    """Return a PNG of the camera image with a coarse defect, so that the golden check decodes and resizes too."""
    recipe = model.recipe
    pixels = read_image(image.path, recipe.channels)
    prepared, placement = prepare(pixels, recipe, model.aligner)
    spoiled = defects.draw_defect(prepared, "perlin", 0.25, 120, rng).image
    change = spoiled.astype(np.float32) - prepared
    if recipe.channels == 3:
        change = change[..., ::-1]
    if recipe.window is not None:
        change = change * ((recipe.window.high - recipe.window.low) / 255)
    whole = pixels.astype(np.float32)
    whole += spread(change, placement, pixels.shape)[0].reshape(whole.shape)
    np.clip(np.rint(whole, out=whole), 0, np.iinfo(pixels.dtype).max, out=whole)  # in place: of 20 megapixels, 240 MB
    return bytes(cv2.imencode(".png", whole.astype(pixels.dtype))[1])
