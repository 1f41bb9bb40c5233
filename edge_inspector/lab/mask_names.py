"""Which mask belongs to which test image: by the names that data sets and labelling tools give."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from edge_inspector.errors import DataError
from edge_inspector.lab.folders import list_images

_ADDED = ("", "_mask", "-mask", "_gt", "-gt", "_label", "_seg")
"""What a mask's name may have behind its image's."""


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks of one class of defects, by the folder and name below it, in lower case and without an ending."""

    folder: Path
    by_name: Mapping[PurePath, tuple[Path, ...]]
    by_folder: Mapping[PurePath, tuple[Path, ...]]

    def mask_of(self, image: PurePath) -> Path | None:
        """Return the mask of an image, named below its class; None where there is none.

        `1.jpg` may have `1.png`, `1_mask.png`, `1_gt.tif`, `1.jpg.png`, or one file of any name in the folder `1`.

        Raises:
            DataError: more than one.
        """
        own = _without_ending(image)
        names = [own.with_name(f"{own.name}{added}") for added in _ADDED] + [_lower(image)]
        found = [mask for name in names for mask in self.by_name.get(name, ())] + [*self.by_folder.get(own, ())]
        if not found and len(image.parts) > 1:
            return self.mask_of(PurePath(image.name))
        if len(found) > 1:
            raise DataError(f"{found[0]} and {found[1]} are both masks of {image}: keep one, or unite them in one file")
        return found[0] if found else None


def find_masks(folder: Path) -> Masks:
    """Return the masks of a class; none where the folder is not there."""
    by_name, by_folder = defaultdict[PurePath, list[Path]](list), defaultdict[PurePath, list[Path]](list)
    for path in list_images(folder).images if folder.is_dir() else ():
        below = path.relative_to(folder)
        by_name[_without_ending(below)].append(path)
        if below.parent.name:
            by_folder[_lower(below.parent)].append(path)
    return Masks(folder, *({k: tuple(v) for k, v in found.items()} for found in (by_name, by_folder)))


def _without_ending(path: PurePath) -> PurePath:
    return _lower(path.with_suffix(""))


def _lower(path: PurePath) -> PurePath:
    return PurePath(str(path).lower())
