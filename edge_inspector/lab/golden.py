"""Golden pictures: they are judged anew at every load, and their maps and verdicts must come out again."""

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
from edge_inspector.lab import defects
from edge_inspector.lab.dataset import GoodPicture, read_picture
from edge_inspector.lab.material import Material


def make_golden(
    material: Material, recipe: Recipe, good: Sequence[GoodPicture], levels: Sequence[float], rng: np.random.Generator
) -> tuple[tuple[GoldenCase, ...], dict[str, bytes]]:
    """Return two middling good pictures, the two nearest the threshold, and two planted defects, with their maps."""
    order = np.argsort(levels)
    below = [i for i in order if levels[i] < recipe.decision.lowest]
    chosen = [*order[len(order) // 2 :][:2], *below[-2:]]
    originals = [(good[i].path.suffix.lower(), good[i].path.read_bytes()) for i in chosen]
    spoiled = [(".png", _plant_in_camera_picture(good[i], material, rng)) for i in chosen[:2]]
    inspector = Inspector(recipe, material.detector, material.ignore, lambda: 0, aligner=material.aligner)
    cases: list[GoldenCase] = []
    files: dict[str, bytes] = {}
    for number, (suffix, content) in enumerate([*originals, *spoiled]):
        inspection = inspector.inspect(content)
        score, evidence = inspection.judgement.score, inspection.evidence
        if score is None or evidence is None:
            raise DataError(f"a golden picture cannot be judged: {inspection.judgement.detail}")
        case = GoldenCase(
            picture=f"golden/{number}{suffix}",
            amap=f"golden/{number}.npy",
            verdict=inspection.judgement.verdict,
            score=score,
        )
        buffer = io.BytesIO()
        np.save(buffer, evidence.amap, allow_pickle=False)
        cases.append(case)
        files |= {case.picture: content, case.amap: buffer.getvalue()}
    return tuple(cases), files


def _plant_in_camera_picture(picture: GoodPicture, material: Material, rng: np.random.Generator) -> bytes:
    """Return a PNG of the camera picture with a coarse defect, so that the golden check decodes and resizes too."""
    recipe = material.recipe
    image = read_picture(picture.path, recipe.channels)
    prepared, placement = prepare(image, recipe, material.aligner)
    spoiled = defects.plant(prepared, "perlin", 0.25, 120, rng).picture
    change = spoiled.astype(np.float32) - prepared
    if recipe.channels == 3:
        change = change[..., ::-1]
    if recipe.window is not None:
        change = change * ((recipe.window.high - recipe.window.low) / 255)
    whole = image.astype(np.float32)
    whole += spread(change, placement, image.shape)[0].reshape(whole.shape)
    np.clip(np.rint(whole, out=whole), 0, np.iinfo(image.dtype).max, out=whole)  # in place: of 20 megapixels, 240 MB
    return bytes(cv2.imencode(".png", whole.astype(image.dtype))[1])
