"""What a verdict was made with, as digests: years later they say whether it was still the same."""

import hashlib
from pathlib import Path

import numpy as np

import edge_inspector
from edge_inspector.inspection.model import Image
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.settings import Settings
from edge_inspector.wire.messages import Trace

_SHORT = 12


def frame_digest(image: bytes | Image) -> str:
    """Return the sha256 of an image: of the file's bytes, or of the pixels that a camera gave."""
    return hashlib.sha256(image if isinstance(image, bytes) else np.ascontiguousarray(image).data).hexdigest()


def trace_of(recipe: Recipe, settings: Settings) -> Trace:
    """Return what all verdicts of a part have in common while the daemon runs."""
    return Trace(
        recipe=_digest(recipe.model_dump_json()), settings=settings_digest(settings), software=software_digest()
    )


def settings_digest(settings: Settings) -> str:
    """Return the digest of everything that the daemon was told."""
    return _digest(settings.model_dump_json())


def software_digest() -> str:
    """Return this program's version and the digest of its source files."""
    folder = Path(edge_inspector.__file__).parent
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        found.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return f"{edge_inspector.__version__}+{found.hexdigest()[:_SHORT]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_SHORT]
