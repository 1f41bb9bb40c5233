"""The parts that a reader wants to see: wrong verdicts first, and what each was made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.bundle import Bundle
from edge_inspector.inspection import overlays as images
from edge_inspector.inspection.inspector import Evidence, Inspector
from edge_inspector.inspection.model import Judgement
from edge_inspector.inspection.overlays import ColourImage
from edge_inspector.lab.data.drawn import read_drawn
from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged
from edge_inspector.lab.evaluation.inspect import reconstruction
from edge_inspector.lab.report.markup import Content, Markup, figure, image, number, section, tag

SHOWN_OF_EACH = 6
_CLOSEST = 3
_SIDE = 300
_WHITE = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that are shown under one heading."""

    title: str
    parts: tuple[Judged, ...]


def choose(evaluation: Evaluation) -> tuple[Group, ...]:
    """Return the worst false rejects and misses; where there are none, the verdicts that were nearest to wrong."""
    good = sorted(evaluation.good, key=lambda part: -part.score)
    defective = sorted(evaluation.defective, key=lambda part: part.score)
    wrong_good = [part for part in good if not part.accepted]
    wrong_defective = [part for part in defective if part.accepted]
    return (
        _group(
            "Misses: defective parts that got OK",
            "Defective parts with the lowest scores",
            wrong_defective,
            defective,
        ),
        _group("False rejects: good parts that did not get OK", "Good parts with the highest scores", wrong_good, good),
    )


def _group(title: str, otherwise: str, wrong: Sequence[Judged], ranked: Sequence[Judged]) -> Group:
    if not wrong:
        return Group(f"{otherwise} (none was judged wrongly)", tuple(ranked[:_CLOSEST]))
    left = len(wrong) - SHOWN_OF_EACH
    return Group(f"{title}{f'; {left} more are not shown' if left > 0 else ''}", tuple(wrong[:SHOWN_OF_EACH]))


def images_section(bundle: Bundle, inspector: Inspector, evaluation: Evaluation) -> Markup:
    """Return the chosen parts, each with its overlay, its map and what the network made of it."""
    blocks: list[Content] = []
    for group in choose(evaluation):
        blocks += [tag("h3", group.title), *(_strip(bundle, inspector, part) for part in group.parts)]
    return section(
        "The parts to look at",
        "Boxes are the blobs that decide; a white outline is the defect as a person has drawn it. All maps are on one "
        "scale, so that two parts can be compared.",
        tag(
            "p",
            "typical",
            tag("span", class_="scale"),
            "twice the limit and more; the limit is the red in the middle",
            class_="lead",
        ),
        *blocks,
    )


def _strip(bundle: Bundle, inspector: Inspector, part: Judged) -> Markup:
    inspection = inspector.inspect(part.image.path.read_bytes())
    name = f"{part.image.defect}/{part.image.path.name}"
    score = number(part.score) if np.isfinite(part.score) else "not measured"
    verdict = tag("span", part.verdict.value, class_=f"verdict {'ok' if part.accepted else 'not'}")
    shares = inspection.judgement.shares_in_words
    title = tag("p", tag("strong", name), verdict, f"score {score}" + (f" = {shares}" if shares else ""), class_="part")
    if inspection.evidence is None:
        return tag("div", title, tag("p", inspection.judgement.detail), class_="strip")
    tiles = [
        figure(image(pixels, f"{name}: {caption}"), caption)
        for caption, pixels in _tiles(bundle, part, inspection.evidence, inspection.judgement)
    ]
    return tag("div", title, tag("div", *tiles, class_="tiles"), class_="strip")


def _tiles(
    bundle: Bundle, part: Judged, evidence: Evidence, judgement: Judgement
) -> tuple[tuple[str, ColourImage], ...]:
    threshold, placement = bundle.recipe.decision.threshold, evidence.placement
    boxes = images.draw_boxes(evidence.image, judgement.blobs, _SIDE, evidence.window)
    outlined = boxes if part.image.mask is None else _outlined(boxes, part.image.mask)
    overlaid = images.overlay(evidence.image, evidence.amap, threshold, placement, evidence.window)
    heat = images.heat_map(evidence.amap, threshold)
    rebuilt = reconstruction(evidence)
    return (
        ("part", outlined),
        ("map over part", _fitted(overlaid, overlaid.shape[1], overlaid.shape[0])),
        ("anomaly map (residual)", _fitted(heat, placement.width, placement.height)),
        *(() if rebuilt is None else (("reconstruction", _fitted(rebuilt, placement.width, placement.height)),)),
    )


def _outlined(shown: ColourImage, mask: Path) -> ColourImage:
    """Return the image with the drawn defect outlined."""
    truth = read_drawn(mask).marked.astype(np.uint8) * 255
    small = cv2.resize(truth, (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_AREA)
    contours, _ = cv2.findContours((small > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outlined = shown.copy()
    cv2.drawContours(outlined, contours, -1, _WHITE, 1, cv2.LINE_AA)
    return outlined


def _fitted(shown: ColourImage, width: int, height: int) -> ColourImage:
    """Return an image of the report's size, in the shape that the camera sees."""
    scale = _SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if size[0] < shown.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(shown, size, interpolation=method), np.uint8)
