"""Judge picture files by hand, and show what the verdict was made from."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.bundle import Bundle
from edge_inspector.errors import DataError
from edge_inspector.image_names import in_words
from edge_inspector.inspection import picture as pictures
from edge_inspector.inspection.inspector import Evidence, Inspector
from edge_inspector.inspection.model import Identity, Judgement
from edge_inspector.lab.dataset import find_pictures
from edge_inspector.native import native_path
from edge_inspector.wire.messages import BundleMessage, Result, result_of


def files_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files among `paths`, and of each folder among them the images below it.

    Raises:
        DataError: a folder without an image.
    """
    return tuple(file for path in paths for file in (find_pictures(path) if path.is_dir() else (path,)))


def inspect_files(
    bundle: Bundle, inspector: Inspector, files: Sequence[Path], save: Path | None, now_ns: Callable[[], int]
) -> Iterator[Result]:
    """Yield the result of each file, in the form that the broker gets; a picture that cannot be judged is INVALID.

    Raises:
        DataError: a file that does not exist.
    """
    folders = _folders(files)
    for seq, file in enumerate(files, start=1):
        if not file.is_file():
            raise DataError(f"{file}: no such file")
        content = file.read_bytes()
        inspection = inspector.inspect(content)
        if save is not None and inspection.evidence is not None:
            _save(save / folders[file], bundle, inspection.evidence, inspection.judgement)
        identity = Identity(
            id=hashlib.sha256(os.fsencode(f"{seq} {file}") + content).hexdigest()[:32],
            station="inspect",
            part=bundle.recipe.part,
            captured_ns=file.stat().st_mtime_ns,
            captured_source="mtime",
        )
        yield result_of(
            identity,
            inspection.judgement,
            ledger="inspect",
            seq=seq,
            bundle=BundleMessage.model_validate(bundle),
            images=(),
            decided_ns=now_ns(),
            timing_ms=dict(inspection.timing_ms),
        )


def _folders(files: Sequence[Path]) -> dict[Path, str]:
    """Return for each file the name of the folder that shows it: its own, with its folders where two share that."""
    different = tuple(dict.fromkeys(files))
    stems = Counter(file.stem for file in different)
    common = Path(os.path.commonpath([file.absolute().parent for file in different])) if different else Path()
    names: dict[Path, str] = {}
    for file in different:
        alone = stems[file.stem] == 1
        name = in_words(file.stem if alone else "-".join(file.absolute().relative_to(common).parts))
        number = sum(taken == name or taken.startswith(f"{name}~") for taken in names.values())
        names[file] = f"{name}~{number + 1}" if number else name
    return names


def _save(folder: Path, bundle: Bundle, evidence: Evidence, judgement: Judgement) -> None:
    """Write the picture with boxes, the heat map over it, the map, what the network made of it, and the mask."""
    folder.mkdir(parents=True, exist_ok=True)
    threshold = bundle.recipe.decision.threshold
    shown = {
        "boxes": pictures.draw_boxes(evidence.image, judgement.blobs, max(evidence.image.shape[:2]), evidence.window),
        "overlay": pictures.overlay(evidence.image, evidence.amap, threshold, evidence.placement, evidence.window),
        "heat": pictures.heat_map(evidence.amap, threshold),
        "picture": evidence.picture[..., ::-1],
        "mask": (evidence.amap >= np.float32(threshold)).astype(np.uint8) * 255,
    }
    rebuilt = reconstruction(evidence)
    if rebuilt is not None:
        shown["reconstruction"] = rebuilt
    for name, image in shown.items():
        cv2.imwrite(native_path(folder / f"{name}.png"), image)
    np.save(folder / "map.npy", evidence.amap, allow_pickle=False)


def reconstruction(evidence: Evidence) -> pictures.ColourImage | None:
    """Return what the network made of the part, at the detector's size; None where it gives features."""
    channels = evidence.picture.shape[2]
    if evidence.features.shape[1:] != (channels, *evidence.picture.shape[:2]):
        return None
    grey = np.clip(np.rint(evidence.features[0].transpose(1, 2, 0)[..., ::-1] * 255), 0, 255)
    return pictures.as_8_bit_colour(grey.astype(np.uint8)[..., 0] if channels == 1 else grey.astype(np.uint8))
