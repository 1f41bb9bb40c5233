"""Whole sets of pictures, laid out as MVTec AD lays them out."""

from pathlib import Path

from edge_inspector.errors import DataError
from edge_inspector.lab.dataset import class_folders


def find_sets(root: Path) -> tuple[Path, ...]:
    """Return the folders below `root` with train/good and test/good, sorted by name.

    Raises:
        DataError: no such folder.
    """
    found = class_folders(root) if root.is_dir() else ()
    sets = tuple(p for p in found if (p / "train" / "good").is_dir() and (p / "test" / "good").is_dir())
    if not sets:
        names = ", ".join(p.name for p in found) or "no folders"
        raise DataError(f"{root}: expected folders with train/good, test/good and test/<defect>, found {names}")
    return sets
