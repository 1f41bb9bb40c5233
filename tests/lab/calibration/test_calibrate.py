"""The threshold keeps its promise, or is refused with what to do."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_decision, a_recipe, png
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from edge_inspector.bundle import NETWORK, RESIDUAL, Bundle, CalibrationCard, DetectorCard, ExcludedImage, Provenance
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.inspector import Features
from edge_inspector.inspection.model import AnomalyMap, ModelInput, Verdict
from edge_inspector.inspection.recipe import Window
from edge_inspector.lab.calibration.calibrate import calibrate
from edge_inspector.lab.calibration.threshold import allowed_exceedances, groups_needed, set_threshold, supported_rate
from edge_inspector.lab.data.dataset import GoodImage, Split
from edge_inspector.lab.training.target import Target
from edge_inspector.lab.training.trained_model import TrainedModel

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = [(0.10, 29), (0.05, 59), (0.02, 149), (0.01, 299)]
"""Good parts needed for a rate, at 95 %."""


class Brightness:
    """A detector that finds unusual what differs from mid-grey: level and brightness are one number."""

    def network(self, image: ModelInput) -> Features:
        """Return nothing of interest."""
        return np.zeros((1, *image.shape), np.float32)

    def residual(self, image: ModelInput, features: Features) -> AnomalyMap:
        """Return the distance to mid-grey; of an image that is white all over, no number."""
        del features
        grey = image.astype(np.float32).max(-1)
        return np.full_like(grey, np.nan) if grey.min() == 255 else np.abs(grey - 128) / 64


def a_material(**changes: object) -> TrainedModel:
    """Return a trained part, but for its threshold."""
    provenance = Provenance(
        created=NOW, program="test", libraries={}, processor="test", seed=0, fit_digests=("f" * 64,), tune_digests=()
    )
    card = DetectorCard(kind="brightness", settings={}, engine="test")
    contents = {NETWORK: b"network", RESIDUAL: b"residual"}
    return replace(
        TrainedModel(a_recipe(), card, provenance, contents, Brightness(), None),
        **changes,  # type: ignore[arg-type]
    )


def grey_parts(folder: Path, offsets: Sequence[int], depth: type[np.integer] = np.uint8) -> tuple[GoodImage, ...]:
    """Write one image for each distance to mid-grey and return them; each is a part."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, offset in enumerate(offsets):
        image = np.full((120, 160), 128 + offset, depth) * (depth(16) if depth is np.uint16 else depth(1))
        (folder / f"{number:03d}.png").write_bytes(png(image))
        images.append(GoodImage(folder / f"{number:03d}.png", f"part{number}", f"{number:064x}"))
    return tuple(images)


def calibrated(model: TrainedModel, good: Sequence[GoodImage], out: Path, **changes: object) -> Bundle:
    """Calibrate with defaults for what does not matter."""
    values: dict[str, object] = {
        "target": Target(),
        "created": NOW,
        "rng": np.random.default_rng(0),
        "out": out,
        "report": lambda _words, _share: None,
    }
    sets = Split(fit=(), tune=(), calibrate=tuple(good))
    return calibrate(model, sets, **{**values, **changes})  # type: ignore[arg-type]


@settings(deadline=None)
@given(groups=st.integers(1, 400), rate=st.floats(0.001, 0.5), confidence=st.floats(0.5, 0.999))
def test_the_allowed_exceedances_are_the_most_that_the_promise_bears(
    groups: int, rate: float, confidence: float
) -> None:
    """One more would break it: checked against scipy, number by number."""
    tails = binom.cdf(range(groups), groups, rate)
    fitting = [r for r in range(groups) if tails[r] <= 1 - confidence]
    doubtful = np.abs(tails - (1 - confidence)).min() < 1e-12

    assert doubtful or allowed_exceedances(groups, rate, confidence) == (max(fitting) if fitting else None)


@pytest.mark.parametrize(("rate", "needed"), TABLE)
def test_how_many_good_parts_a_rate_needs(rate: float, needed: int) -> None:
    """The table of the handbook: 29 for 10 %, 59 for 5 %, 149 for 2 %, 299 for 1 %; one less is not enough."""
    assert groups_needed(rate, 0.95) == needed
    assert allowed_exceedances(needed, rate, 0.95) == 0
    assert allowed_exceedances(needed - 1, rate, 0.95) is None


@pytest.mark.parametrize(("groups", "rate"), [(59, 0.05), (181, 0.05), (40, 0.10)])
def test_the_stated_rate_holds_as_often_as_stated(groups: int, rate: float) -> None:
    """300 factories calibrate; in at most 5 % of them, within chance, the true rate is above the target.

    Levels are uniform in the logarithm over six decades, so that the 1 % of headroom hardly counts.
    """
    rng = np.random.default_rng(groups)
    draws = 300
    broken = 0
    for _ in range(draws):
        threshold = set_threshold(10 ** (6 * rng.random(groups)), Target(rate)).value
        broken += 1 - math.log10(threshold) / 6 > rate

    assert broken <= binom.ppf(0.999, draws, 0.05)
    assert broken >= 1, "a threshold that never breaks its promise is higher than it need be"


def test_without_a_target_the_best_that_the_parts_support_is_promised() -> None:
    """Nothing but the highest level counts, and the rate is what so many parts can show."""
    found = set_threshold([*range(1, 60)], Target())

    assert found.value == pytest.approx(59 * 1.01)
    assert found.false_reject == pytest.approx(1 - 0.05 ** (1 / 59))
    assert found.exceedances == 0


def test_allowed_exceedances_lie_above_the_threshold() -> None:
    """Of 93 parts one may be rejected for 5 % at 95 %: the limit is 1 % above the second."""
    levels = [float(level) for level in range(1, 94)]
    found = set_threshold(levels, Target(0.05))

    assert found.exceedances == 1
    assert found.value == pytest.approx(92 * 1.01)


@pytest.mark.parametrize(
    ("levels", "target", "words"),
    [
        (range(1, 20), Target(), "19 good parts to calibrate with, at least 20"),
        (range(1, 51), Target(0.05), r"50 good parts cannot show .* 5\.0% at 95% confidence, 59 can: add 9"),
        (range(1, 101), Target(0.01), r"cannot show .* 1\.0% .* 299 can: add 199"),
        ([2.5] * 60, Target(), r"all 60 good parts have the same level 2\.5"),
        ([*range(1, 60), math.nan], Target(), "no finite level"),
        ([*range(1, 60), math.inf], Target(), "no finite level"),
        ([1.0] + [0.0] * 59, Target(0.10), "level 0"),
    ],
    ids=["too few", "too few for 5 %", "too few for 1 %", "all equal", "NaN", "infinite", "limit of nothing"],
)
def test_levels_that_can_promise_nothing_are_refused(levels: Sequence[float], target: Target, words: str) -> None:
    """With what was found, and how many images to add."""
    with pytest.raises(DataError, match=words):
        set_threshold(list(levels), target)


@pytest.mark.parametrize("bad", [0, 1, -0.1, 5, math.nan])
def test_a_rate_is_between_0_and_1(bad: float) -> None:
    """5 is not 5 %."""
    with pytest.raises(UsageError, match=r"--false-reject .* for instance 0\.05"):
        Target(bad)
    with pytest.raises(UsageError, match="--confidence"):
        Target(0.05, bad)


def test_a_bundle_carries_its_promise_and_its_proof(tmp_path: Path) -> None:
    """Levels, digests, threshold, synthetic defects, and golden images on both sides of the limit."""
    good = grey_parts(tmp_path / "good", range(1, 31))
    bundle = calibrated(a_material(), good, tmp_path / "out")
    card = bundle.manifest.calibration

    assert card.levels == tuple(offset / 64 for offset in range(30, 0, -1))
    assert card.digests == tuple(image.digest for image in good)
    assert card.threshold == pytest.approx(30 / 64 * 1.01)
    assert card.threshold == bundle.recipe.decision.threshold
    assert card.provisional
    assert {rate.kind for rate in card.synthetic} == {"scratch", "stain", "dent", "twice", "missing", "swapped"}
    assert {case.verdict for case in bundle.manifest.golden} == {Verdict.OK, Verdict.NG}
    assert max(case.score for case in bundle.manifest.golden if case.verdict is Verdict.OK) == pytest.approx(1 / 1.01)


def test_several_images_of_a_part_are_one_part(tmp_path: Path) -> None:
    """The highest level of each part counts; a part photographed ten times proves no more than once."""
    good = [
        replace(image, group=f"part{number // 2}")
        for number, image in enumerate(grey_parts(tmp_path / "good", range(1, 41)))
    ]
    card = calibrated(a_material(), good, tmp_path / "out").manifest.calibration

    assert card.groups == 20
    assert card.levels == tuple(offset / 64 for offset in range(40, 0, -2))


def test_images_that_trained_the_detector_are_refused(tmp_path: Path) -> None:
    """It knows them: a threshold from them would be too low."""
    good = grey_parts(tmp_path / "good", range(1, 31))
    seen = (*good[:-1], replace(good[-1], digest="f" * 64))

    with pytest.raises(DataError, match="1 of 30 images trained the detector"):
        calibrated(a_material(), seen, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_map_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """A damaged network ends in a sentence, not in a traceback."""
    good = grey_parts(tmp_path / "good", [*range(1, 30), 127])

    with pytest.raises(DataError, match="finite"):
        calibrated(a_material(), good, tmp_path / "out")


@pytest.mark.parametrize(("highest", "marked"), [(90, "yes"), (35, "no")])
def test_a_good_part_far_above_all_others_is_pointed_out(tmp_path: Path, highest: int, marked: str) -> None:
    """One and a half times the second wants a look: it may be a bad part among the good ones."""
    good = grey_parts(tmp_path / "good", [*range(1, 31), highest])
    notes = calibrated(a_material(), good, tmp_path / "out").manifest.calibration.notes

    assert any("look at that image" in note for note in notes) == (marked == "yes")


def test_one_part_that_differs_from_all_others_is_pointed_out(tmp_path: Path) -> None:
    """Also when the others have no level at all."""
    good = grey_parts(tmp_path / "good", [0] * 30 + [20])
    notes = calibrated(a_material(), good, tmp_path / "out").manifest.calibration.notes

    assert any("look at that image" in note for note in notes)


def test_a_detector_that_finds_few_synthetic_defects_is_called_unfit(tmp_path: Path) -> None:
    """Loudly, with the numbers: the false-reject rate says nothing of escapes."""
    good = grey_parts(tmp_path / "good", range(1, 31))
    blunt, sharp = (a_material(recipe=a_recipe(decision=a_decision(min_area=area))) for area in (15_000, 9))
    cards = [calibrated(one, good, tmp_path / name).manifest.calibration for one, name in ((blunt, "a"), (sharp, "b"))]

    assert [card.unfit for card in cards] == [True, False]
    assert any(note.startswith("UNFIT: 0 of 24 synthetic defects of 8%") for note in cards[0].notes)
    assert not any(note.startswith("UNFIT") for note in cards[1].notes)


def test_a_review_limit_lies_below_the_limit_and_is_what_is_promised(tmp_path: Path) -> None:
    """A part that a person must look at is not OK: the card promises the rate of the lower limit."""
    good = grey_parts(tmp_path / "good", [number % 100 for number in range(1, 100)])
    bundle = calibrated(a_material(), good, tmp_path / "out", target=Target(0.05, review=0.20))
    decision = bundle.recipe.decision

    assert decision.review is not None
    assert decision.review < decision.threshold
    assert bundle.manifest.calibration.false_reject == 0.20


@pytest.mark.parametrize("rate", [0.10, None])
def test_a_review_rate_stricter_than_the_limit_s_is_refused(tmp_path: Path, rate: float | None) -> None:
    """What is NG is not OK either, so "at most 2 % are not OK" beside "at most 10 % are NG" would say nothing."""
    good = grey_parts(tmp_path / "good", range(1, 100))

    with pytest.raises((DataError, UsageError), match=r"--review 0\.02|cannot show"):
        calibrated(a_material(), good, tmp_path / "out", target=Target(rate, review=0.02))


def test_a_card_states_three_bounds(tmp_path: Path) -> None:
    """NG, not OK, INVALID: each with its rate, the parts that may be so, and a sentence."""
    good = grey_parts(tmp_path / "good", range(1, 100))
    card = calibrated(a_material(), good, tmp_path / "out", target=Target(0.05, review=0.20)).manifest.calibration
    found = {bound.of: (bound.rate, bound.exceedances) for bound in card.bounds}

    assert found["NG"] == (0.05, allowed_exceedances(99, 0.05, 0.95))
    assert found["not OK"] == (0.20, allowed_exceedances(99, 0.20, 0.95))
    assert found["INVALID"] == (pytest.approx(1 - 0.05 ** (1 / 99)), 0)
    assert card.bounds_in_words()[0] == "NG: at most 5.0% of good parts; of these 99, 1 may be so."


@settings(deadline=None)
@given(groups=st.integers(1, 400), share=st.floats(0, 0.9), confidence=st.floats(0.5, 0.999))
def test_the_supported_rate_is_clopper_and_pearson_s(groups: int, share: float, confidence: float) -> None:
    """Checked against scipy's beta distribution; one part fewer than needed cannot show it."""
    hits = min(int(share * groups), groups - 1)
    rate = supported_rate(groups, hits, confidence)

    assert rate == pytest.approx(beta.ppf(confidence, hits + 1, groups - hits), abs=1e-9)
    assert groups_needed(rate + 1e-9, confidence, hits) == groups


def test_an_invalid_good_part_counts_as_not_ok(tmp_path: Path) -> None:
    """The gate rejects it whatever the threshold, so it uses up one of the parts that may be rejected."""
    good = grey_parts(tmp_path / "good", range(1, 99))
    (tmp_path / "good" / "odd.png").write_bytes(png(np.full((64, 64), 128, np.uint8)))
    odd = (*good, GoodImage(tmp_path / "good" / "odd.png", "odd", "0" * 64))
    card = calibrated(a_material(), odd, tmp_path / "out", target=Target(0.05)).manifest.calibration

    assert card.groups == 99
    assert card.exceedances == 1
    assert card.threshold == pytest.approx(98 / 64 * 1.01)
    assert card.bounds[2].exceedances == 1
    assert card.outliers[0].score is None
    with pytest.raises(DataError, match=r"1 of 99 good parts are INVALID.* 0 may be so.*add \d+ good parts"):
        calibrated(a_material(), odd, tmp_path / "b")


def test_an_image_taken_out_counts_until_somebody_marks_it_defective(tmp_path: Path) -> None:
    """Nobody's word is no reason: the part stays among those that may be rejected; a name takes it out."""
    good = grey_parts(tmp_path / "good", range(1, 100))
    one = ExcludedImage(image=str(good[-1].path), digest=good[-1].digest, group=good[-1].group)
    counted, marked = (
        calibrated(a_material(), good[:-1], tmp_path / name, target=Target(0.05), excluded=[entry])
        for name, entry in (("a", one), ("b", one.model_copy(update={"marked_by": "M. Curie"})))
    )

    assert counted.manifest.calibration.groups == 99
    assert counted.recipe.decision.threshold == pytest.approx(98 / 64 * 1.01)
    assert marked.manifest.calibration.groups == 98
    assert marked.recipe.decision.threshold == pytest.approx(97 / 64 * 1.01)
    assert marked.manifest.calibration.excluded[0].marked_by == "M. Curie"
    assert one.digest in marked.manifest.calibration.digests
    with pytest.raises(DataError, match=r"excluded without being marked defective.*--exclude IMAGE --by NAME"):
        calibrated(a_material(), good[:-1], tmp_path / "c", excluded=[one])


def test_a_group_with_a_shot_taken_out_counts_as_one(tmp_path: Path) -> None:
    """The part's other shots do not make up for the one that is gone."""
    good = [replace(one, group=f"part{n // 2}") for n, one in enumerate(grey_parts(tmp_path / "g", range(1, 101)))]
    one = ExcludedImage(image="gone.png", digest=good[-1].digest, group=good[-1].group)
    card = calibrated(
        a_material(), good[:-1], tmp_path / "out", target=Target(0.10), excluded=[one]
    ).manifest.calibration

    assert card.groups == 50
    assert len(card.levels) == 49
    assert card.threshold == pytest.approx(98 / 64 * 1.01)


def test_the_most_unusual_images_of_each_set_are_named(tmp_path: Path) -> None:
    """Worst first, and which set they are from: the detector knows fit and tune images."""
    good = grey_parts(tmp_path / "good", range(1, 51))
    sets = Split(fit=good[:15], tune=good[15:20], calibrate=good[20:])
    card = calibrate(
        a_material(),
        sets,
        target=Target(),
        created=NOW,
        rng=np.random.default_rng(0),
        out=tmp_path / "out",
        report=lambda _words, _share: None,
    ).manifest.calibration
    found = {kind: [one.image for one in card.outliers if one.used_for == kind] for kind in ("fit", "tune")}

    assert [one.used_for for one in card.outliers] == ["calibrate"] * 5 + ["tune"] * 5 + ["fit"] * 5
    assert [one.image for one in card.outliers[:5]] == [str(one.path) for one in good[:-6:-1]]
    assert card.outliers[0].score == pytest.approx(1 / 1.01)
    assert found["tune"] == [str(one.path) for one in good[19:14:-1]]
    assert found["fit"] == [str(one.path) for one in good[14:9:-1]]


def test_a_card_of_the_first_version_is_still_read(tmp_path: Path) -> None:
    """Bundles are used for years: what the card has learned since has defaults."""
    good = grey_parts(tmp_path / "good", range(1, 31))
    card = calibrated(a_material(), good, tmp_path / "out").manifest.calibration
    new = {"bounds", "pictures", "taken_out", "suspects", "area_pairs", "ng_digests", "unfit"}
    old = CalibrationCard.model_validate_json(card.model_dump_json(exclude=new))

    assert old.in_words() == card.in_words()
    assert old.bounds_in_words() == ()


def test_synthetic_defects_under_the_mask_do_not_count(tmp_path: Path) -> None:
    """Where nothing is judged nothing is found; and then the detector is unfit."""
    blind = a_material(ignore=np.ones((64, 64), bool))
    good = grey_parts(tmp_path / "good", range(1, 31))

    with pytest.raises(DataError, match="same level"):
        calibrated(blind, good, tmp_path / "out")


@pytest.mark.parametrize(
    ("channels", "depth", "window"),
    [(3, np.uint8, None), (1, np.uint16, Window(low=0, high=4080)), (3, np.uint16, Window(low=0, high=4080))],
    ids=["colour", "16 bits", "16 bits, colour"],
)
def test_golden_defects_are_synthetic_into_the_camera_s_own_image(
    tmp_path: Path, channels: int, depth: type[np.integer], window: Window | None
) -> None:
    """In its size, depth and colours, so that the golden check decodes and resizes as the line does."""
    good = grey_parts(tmp_path / "good", range(1, 31), depth)
    recipe = a_recipe(channels=channels, window=window, decision=a_decision(min_area=30))
    bundle = calibrated(a_material(recipe=recipe), good, tmp_path / "out")
    golden = [case for case in bundle.manifest.golden if case.verdict is Verdict.NG]

    assert len(golden) == 2
    for case in golden:
        image = cv2.imread(str(bundle.path / case.image), cv2.IMREAD_UNCHANGED)
        assert image.shape[:2] == (120, 160)
        assert image.dtype == depth


def test_a_bundle_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    """What was accepted stays."""
    good = grey_parts(tmp_path / "good", range(1, 31))
    calibrated(a_material(), good, tmp_path / "out")

    with pytest.raises(DataError, match="exists already"):
        calibrated(a_material(), good, tmp_path / "out")


def test_the_same_images_give_the_same_threshold(tmp_path: Path) -> None:
    """A calibration can be repeated by an auditor."""
    good = grey_parts(tmp_path / "good", range(1, 31))
    first, second = (calibrated(a_material(), good, tmp_path / name) for name in ("a", "b"))

    assert first.manifest == second.manifest
