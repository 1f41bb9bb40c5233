"""A bundle: everything that decides about one part, in a folder that is never changed."""

import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspector import atomic
from edge_inspector.engines.openvino import ENGINE, GraphCache, OpenVinoDetector, Precision, can_run
from edge_inspector.errors import DataError
from edge_inspector.inspection.align import Aligner, make_aligner
from edge_inspector.inspection.inspector import Detector, Inspector
from edge_inspector.inspection.model import AnomalyMap, Verdict
from edge_inspector.inspection.preprocess import IgnoreMask
from edge_inspector.inspection.quality import MINIATURE_SIDE, Gate, make_gate
from edge_inspector.inspection.recipe import QualityCheck, Recipe
from edge_inspector.native import native_path
from edge_inspector.validation import in_our_words

FORMAT = 1
NETWORK_INT8 = ("network.int8.xml", "network.int8.bin")
"""The quantised network, its weights apart."""
NETWORK, RESIDUAL, MANIFEST, IGNORE = "network.onnx", "residual.onnx", "manifest.json", "ignore.png"
WEIGHTS = "weights.safetensors"
"""Of the network, to go on training from."""
REFERENCE, GOOD, ALIGN = "reference.png", "good.png", "align.png"
"""The median of tune images; miniatures of good images, one below the other; what parts are aligned to."""
SEAL = "manifest.sha256"
SCORE_TOLERANCE = 0.01
"""By how much a golden score may differ, in units of the threshold; the threshold is set as far above the levels."""
_MAP_TOLERANCE = 0.02
_MAP_SHARE = 0.999
_LIMIT_BYTES = 4_000_000_000
_LITTER = frozenset({"thumbs.db", ".ds_store", "desktop.ini"})
"""In lower case: what file managers of Windows and macOS leave in folders that they show; and `._x`, macOS again."""

ClockNs: TypeAlias = Callable[[], int]


class _Frozen(BaseModel):
    # NaN compares false with every tolerance: a golden score that is none would always come out again.
    model_config = ConfigDict(
        frozen=True, populate_by_name=True, serialize_by_alias=True, extra="forbid", allow_inf_nan=False
    )


class DetectorCard(_Frozen):
    """How the detector was made and how it must be run."""

    kind: str
    settings: Mapping[str, str | int | float | bool | None]
    precision: Precision = "f32"
    """Of the network; the residual is always float32."""
    precision_shift: float | None = None
    """By how much this precision moved a tune or synthetic score at most, as a share of the limit or of the score."""
    engine: str

    def precision_in_words(self) -> str:
        """Return what the network is computed in, and what that costs."""
        moved = self.precision_shift
        cost = "" if moved is None else f", which moves a score by at most {moved:.2%} against f32"
        return f"{self.precision}{cost}"


class SyntheticDefectRate(_Frozen):
    """How many synthetic defects of one kind and strength are found at the threshold."""

    kind: str
    size: float
    contrast: float
    synthetic: int = Field(alias="planted")
    found: int


class Bound(_Frozen):
    """At most `rate` of good parts get such a verdict, at the card's confidence; each bound holds by itself."""

    of: Literal["NG", "not OK", "INVALID"]
    rate: float
    exceedances: int
    """Calibration parts that may get it (NG, not OK), or got it (INVALID)."""


class ScoredImage(_Frozen):
    """A calibration image and its level."""

    image: str = Field(alias="picture")
    digest: str
    group: str
    level: float | None
    """None where the image is INVALID."""


class ExcludedImage(_Frozen):
    """A calibration image that is not used, though it was chosen to be."""

    image: str = Field(alias="picture")
    digest: str
    group: str
    marked_by: str = ""
    """Who says that the part is defective. Empty: nobody, so the part counts as an exceedance."""
    note: str = ""
    """Why, in that person's words."""


class Outlier(_Frozen):
    """One of the least typical good images: perhaps a bad part among the good ones."""

    image: str = Field(alias="picture")
    digest: str
    used_for: Literal["fit", "tune", "calibrate"]
    """The detector knows fit and tune images: their scores are lower than those of new parts."""
    score: float | None
    """Level / threshold; None where the image is INVALID."""


class AreaPair(_Frozen):
    """A minimum area with the threshold that tune images give it, and what NG images make of the two."""

    min_area: float
    """Camera pixels."""
    threshold: float
    missed: int
    defective: int
    chosen: bool


class CalibrationCard(_Frozen):
    """Where the threshold comes from, and the bounds on the false-reject rate."""

    id: str
    created: datetime
    false_reject: float
    """At most this share of good parts gets a verdict other than OK ..."""
    confidence: float
    """... at this confidence."""
    provisional: bool
    """Whether the rate was chosen by the number of images rather than by the user."""
    groups: int
    exceedances: int
    """How many of the groups may lie above the threshold (and do, within 1 %)."""
    threshold: float
    levels: tuple[float, ...]
    """The highest level of each group, largest first."""
    digests: tuple[str, ...]
    """sha256 of every image used; they must not be used again to judge the bundle."""
    synthetic: tuple[SyntheticDefectRate, ...] = Field(default=(), alias="planted")
    notes: tuple[str, ...] = ()
    unfit: bool = False
    """Whether less than half of the synthetic defects of the stated size and contrast are found."""
    bounds: tuple[Bound, ...] = ()
    images: tuple[ScoredImage, ...] = Field(default=(), alias="pictures")
    excluded: tuple[ExcludedImage, ...] = Field(default=(), alias="taken_out")
    outliers: tuple[Outlier, ...] = Field(default=(), alias="suspects")
    """The least typical of each set, worst first."""
    area_pairs: tuple[AreaPair, ...] = ()
    ng_digests: tuple[str, ...] = ()
    """sha256 of the NG images that chose the minimum area; they must not be used again to judge the bundle."""
    estimated: str = ""
    """How the limit follows from the out-of-fold scores of the images that trained; empty: from images held back."""

    def in_words(self) -> str:
        """Return the bound as a sentence; of a limit that no unused image backs, what it aims at."""
        if self.estimated:
            return (
                f"About {self.false_reject:.1%} of good parts, or fewer, get a verdict other than OK: estimated by "
                f"cross-validation, {self.groups} good parts, {self.exceedances} of them above the limit. Limit: "
                f"{self.estimated}."
            )
        kept = " (provisional: no target was given)" if self.provisional else ""
        return (
            f"At most {self.false_reject:.1%} of good parts get a verdict other than OK, "
            f"at {self.confidence:.0%} confidence, from {self.groups} good parts{kept}."
        )

    def bounds_in_words(self) -> tuple[str, ...]:
        """Return each bound as a sentence."""
        counted = {"NG": "may be so", "not OK": "may be so", "INVALID": "were so"}
        return tuple(
            f"{bound.of}: at most {bound.rate:.1%} of good parts; "
            f"of these {self.groups}, {bound.exceedances} {counted[bound.of]}."
            for bound in self.bounds
        )


class Provenance(_Frozen):
    """What made the bundle."""

    created: datetime
    program: str
    libraries: Mapping[str, str]
    processor: str
    seed: int
    fit_digests: tuple[str, ...]
    tune_digests: tuple[str, ...]
    steps: int = 0
    seconds: float = 0


class GoldenCase(_Frozen):
    """An image whose map and verdict must come out again."""

    image: str = Field(alias="picture")
    amap: str
    verdict: Verdict
    score: float


class Manifest(_Frozen):
    """The bundle's contents; a file that is not named here refuses the bundle."""

    format: Literal[1] = 1
    recipe: Recipe
    detector: DetectorCard
    calibration: CalibrationCard
    provenance: Provenance
    golden: tuple[GoldenCase, ...] = Field(min_length=4)
    files: Mapping[str, str]
    """sha256 by name."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were all found as they were written."""

    path: Path
    id: str
    manifest: Manifest
    litter: tuple[str, ...] = ()
    """Files of file managers that lie in the folder; they are never read."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all that belongs to it."""
        return (*self.manifest.files, MANIFEST, SEAL)

    def litter_in_words(self) -> str:
        """Return what lies in the folder and does not belong there; empty where nothing does."""
        return (
            f"{', '.join(self.litter)}: left there by a file manager, not read; may be deleted" if self.litter else ""
        )

    @property
    def recipe(self) -> Recipe:
        """How images of this part are judged."""
        return self.manifest.recipe

    @property
    def detector(self) -> str:
        """The kind of detector that judges."""
        return self.manifest.detector.kind

    @property
    def calibration(self) -> str:
        """The id of the calibration that the threshold comes from."""
        return self.manifest.calibration.id

    def ignore(self) -> IgnoreMask | None:
        """Return where nothing is judged, at map size."""
        if IGNORE not in self.manifest.files:
            return None
        return _read_ignore(self.path / IGNORE, self.recipe)

    def aligner(self) -> Aligner | None:
        """Return what finds the part in an image; None where the recipe aligns nothing.

        Raises:
            DataError: there is no reference, or none that can be used.
        """
        if self.recipe.align is None:
            return None
        file = self.path / ALIGN
        reference = cv2.imread(native_path(file), cv2.IMREAD_GRAYSCALE) if ALIGN in self.manifest.files else None
        if reference is None:
            raise DataError(f"{file}: expected the image that parts are aligned to; restore the bundle")
        try:
            return make_aligner(self.recipe, np.asarray(reference, np.uint8))
        except ValueError as error:
            raise DataError(f"{file}: {error}; restore the bundle") from error

    def gate(self, off: Collection[QualityCheck] = ()) -> Gate | None:
        """Return what refuses images that may not be judged, some checks switched off; None in an old bundle.

        Raises:
            DataError: its images cannot be used.
        """
        if not {REFERENCE, GOOD} <= set(self.manifest.files):
            return None
        flag = cv2.IMREAD_GRAYSCALE if self.recipe.channels == 1 else cv2.IMREAD_COLOR
        reference = cv2.imread(native_path(self.path / REFERENCE), flag)
        good = cv2.imread(native_path(self.path / GOOD), cv2.IMREAD_GRAYSCALE)
        if reference is None or good is None or good.shape[1] != MINIATURE_SIDE or good.shape[0] % MINIATURE_SIDE:
            raise DataError(
                f"{self.path}: {REFERENCE} or {GOOD} is not an image of the expected size; restore the bundle"
            )
        shaped = np.ascontiguousarray(reference.reshape(*reference.shape[:2], self.recipe.channels)[..., ::-1])
        miniatures = good.reshape(-1, MINIATURE_SIDE, MINIATURE_SIDE)
        return make_gate(self.recipe.quality.without(off), shaped, tuple(miniatures))


def read_bundle(path: Path) -> Bundle:
    """Return the bundle in the folder `path` after checking every file of it.

    Raises:
        DataError: no bundle, of a newer format, incomplete, with a file too many, unreadable, changed by a single bit,
            or at a path that is not UTF-8.
    """
    native_path(path)
    try:
        return _read_checked(path)
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror or error}; restore the bundle") from error


def _read_checked(path: Path) -> Bundle:
    file = path / MANIFEST
    if not file.is_file():
        raise DataError(
            f"{path} is not a bundle: expected a folder with {MANIFEST}, as `edge-inspector train` writes it"
        )
    raw = file.read_bytes()
    manifest = _parse(path, raw)
    _check_seal(path, raw)
    litter = _check_files(path, manifest)
    return Bundle(path, hashlib.sha256(raw).hexdigest()[:12], manifest, litter)


def _parse(path: Path, raw: bytes) -> Manifest:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path / MANIFEST} is damaged ({error}); restore the bundle") from error
    if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > FORMAT:
        raise DataError(f"{path}: bundle format {found['format']}, this program reads {FORMAT}; upgrade it")
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        words = in_our_words(error, Manifest, "field")
        raise DataError(f"{path / MANIFEST}: {words}; restore the bundle or train the part") from error


def _check_seal(path: Path, raw: bytes) -> None:
    """Hold the manifest against its own digest: it decides more than any file that it names."""
    seal = path / SEAL
    if not seal.is_file() or seal.read_text(encoding="ascii", errors="replace") != hashlib.sha256(raw).hexdigest():
        raise DataError(f"{path / MANIFEST} is not what was accepted; restore the bundle")


def _check_files(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """Hold every file against the manifest, and return those of file managers, which are let lie."""
    present = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_symlink() or not p.is_dir()}
    named = {*manifest.files, MANIFEST, SEAL}
    litter = {name for name in present - named if _is_litter(name)}
    light = NETWORK_INT8 if manifest.detector.precision == "int8" else ()
    needed = {
        NETWORK,
        RESIDUAL,
        *light,
        *(case.image for case in manifest.golden),
        *(case.amap for case in manifest.golden),
    }
    for found, complaint in (
        (needed - named, "does not name"),
        (named - present, "misses"),
        (present - named - litter, "holds what its manifest does not name:"),
    ):
        if found:
            raise DataError(f"{path} {complaint} {', '.join(sorted(found))}; restore the bundle")
    for name, expected in manifest.files.items():
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?", name):
            raise DataError(f"{path}: the file name {name!r} is not allowed")
        file = path / name
        if file.is_symlink() or file.stat().st_size > _LIMIT_BYTES:
            raise DataError(f"{file} is a link or larger than {_LIMIT_BYTES:,} bytes; restore the bundle")
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if digest != expected:
            raise DataError(f"{file} is not what was accepted: sha256 {digest[:12]}, expected {expected[:12]}")
    return tuple(sorted(litter))


def _is_litter(name: str) -> bool:
    """Say whether a file, by its path in the bundle, is one that a file manager leaves."""
    own = name.rpartition("/")[2]
    return own.startswith("._") or own.lower() in _LITTER


def _read_ignore(file: Path, recipe: Recipe) -> IgnoreMask:
    mask = cv2.imread(native_path(file), cv2.IMREAD_GRAYSCALE)
    if mask is None or mask.shape != (recipe.height, recipe.width):
        found = None if mask is None else mask.shape[::-1]
        raise DataError(f"{file}: expected an image of {recipe.width}x{recipe.height}, got {found}")
    return np.asarray(mask > 0)


def write_bundle(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
    """Write a new bundle as one folder, all or nothing, and return it as read back.

    Args:
        path: a folder that does not exist.
        manifest: `files` is filled in here.
        contents: bytes by file name.

    Raises:
        DataError: `path` exists, or is not UTF-8.
    """
    native_path(path)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=1)
    with atomic.new_folder(path) as folder:
        for name, content in contents.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        (folder / SEAL).write_text(hashlib.sha256((text + "\n").encode()).hexdigest(), encoding="ascii")
    return read_bundle(path)


def copy_files(bundle: Bundle, folder: Path) -> None:
    """Copy all that belongs to a bundle, and nothing else, into an empty folder."""
    for name in bundle.files:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(bundle.path / name, folder / name)


def open_detector(bundle: Bundle, threads: int, cache: GraphCache | None = None) -> OpenVinoDetector:
    """Compile the bundle's graphs in the precision that it names; `cache` keeps what was compiled for others.

    Raises:
        DataError: this processor cannot run that precision, or the engine cannot read a graph.
    """
    precision = bundle.manifest.detector.precision
    if not can_run(precision):
        raise DataError(
            f"{bundle.path} runs in {precision} and this processor has no units for that: recalibrate here, then it "
            "runs in f32"
        )
    network = network_file(bundle.path, precision)
    try:
        return OpenVinoDetector(network, bundle.path / RESIDUAL, precision, threads, cache)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        # Half a limit ends here with "bad combination": oneDNN keeps to it, the plugin's own kernels do not.
        raise DataError(
            f"{bundle.path}: {ENGINE} cannot run its graphs ({reason}); where ONEDNN_MAX_CPU_ISA is set, set "
            "OV_CPU_MAX_ISA to the same or clear both, otherwise restore the bundle"
        ) from error


def network_file(folder: Path, precision: Precision) -> Path:
    """Return the file of the network that runs in `precision`."""
    return folder / (NETWORK_INT8[0] if precision == "int8" else NETWORK)


def open_inspector(
    bundle: Bundle,
    *,
    threads: int,
    clock_ns: ClockNs,
    cache: GraphCache | None = None,
    quality_off: Collection[QualityCheck] = (),
) -> Inspector:
    """Return an inspector of the bundle's part that has passed the golden check on this machine.

    Raises:
        DataError: a golden image comes out differently here; the message names it.
    """
    detector = open_detector(bundle, threads, cache)
    problems = self_test(bundle, detector)
    if problems:
        raise DataError(
            f"{bundle.path} gives other answers here than where it was calibrated ({problems[0]}): recalibrate here"
        )
    return Inspector(bundle.recipe, detector, bundle.ignore(), clock_ns, bundle.gate(quality_off), bundle.aligner())


def self_test(bundle: Bundle, detector: Detector) -> tuple[str, ...]:
    """Judge the golden images and return what differs from the day the bundle was accepted; nothing is good."""
    inspector = Inspector(bundle.recipe, detector, bundle.ignore(), lambda: 0, aligner=bundle.aligner())
    problems = []
    for case in bundle.manifest.golden:
        inspection = inspector.inspect((bundle.path / case.image).read_bytes())
        amap = np.load(io.BytesIO((bundle.path / case.amap).read_bytes()), allow_pickle=False)
        found = None if inspection.evidence is None else inspection.evidence.amap
        judgement = inspection.judgement
        if judgement.verdict != case.verdict:
            problems.append(f"{case.image}: expected {case.verdict}, got {judgement.verdict}: {judgement.detail}")
        elif judgement.score is None or abs(judgement.score - case.score) > SCORE_TOLERANCE:
            problems.append(f"{case.image}: expected score {case.score:.4f}, got {judgement.score}")
        elif found is None or not _maps_agree(found, amap, bundle.recipe.decision.threshold):
            problems.append(f"{case.image}: the anomaly map differs by more than 2 % of the threshold")
    return tuple(problems)


def _maps_agree(found: AnomalyMap, expected: NDArray[np.generic], threshold: float) -> bool:
    if found.shape != expected.shape:
        return False
    near = np.abs(found - expected.astype(np.float32)) <= _MAP_TOLERANCE * threshold
    return bool(near.mean() >= _MAP_SHARE)
