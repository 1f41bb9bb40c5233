"""What was accepted is what runs: a bundle that differs by a bit, or answers differently, is not used."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import a_part, jpeg

from edge_inspector.bundle import (
    MANIFEST,
    NETWORK,
    SEAL,
    Bundle,
    copy_files,
    open_detector,
    open_inspector,
    read_bundle,
    self_test,
    write_bundle,
)
from edge_inspector.errors import DataError
from edge_inspector.inspection.model import Reason, Verdict


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """Give a copy of the trained bundle that a test may damage."""
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def change_manifest(folder: Path, *keys: str | int, value: object) -> None:
    """Set one value of a bundle's manifest, as a person with an editor would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    inner = manifest
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / MANIFEST).write_text(json.dumps(manifest))


def flip_bit(file: Path, place: int) -> None:
    """Change the lowest bit of one byte."""
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_a_bundle_comes_back_as_it_was_written(bundle: Bundle) -> None:
    """Manifest, id and files; the id is that of the manifest."""
    found = read_bundle(bundle.path)

    assert found == bundle
    assert len(found.id) == 12
    assert found.recipe.part == "washer"


def test_a_bundle_that_was_moved_keeps_its_id(bundle: Bundle, copy: Path) -> None:
    """Copied to the line by any means, it is the same bundle."""
    assert read_bundle(copy).id == bundle.id


def test_one_changed_bit_in_any_file_refuses_the_bundle(bundle: Bundle, copy: Path) -> None:
    """At the beginning, in the middle and at the end of each graph, weight, image and map."""
    for name in bundle.manifest.files:
        file = copy / name
        for place in (0, file.stat().st_size // 2, -1):
            flip_bit(file, place)

            with pytest.raises(DataError, match="is not what was accepted"):
                read_bundle(copy)
            flip_bit(file, place)
    assert read_bundle(copy).id == bundle.id


def test_one_changed_bit_in_the_manifest_refuses_the_bundle(copy: Path) -> None:
    """Threshold, promise, digests of the images used: the manifest decides more than any other file."""
    file = copy / MANIFEST
    accepted = []
    for place in np.random.default_rng(0).permutation(file.stat().st_size)[:150]:
        flip_bit(file, place)
        try:
            read_bundle(copy)
        except DataError:
            pass
        else:
            accepted.append(int(place))
        flip_bit(file, place)

    assert not accepted


def test_a_threshold_that_was_edited_refuses_the_bundle(bundle: Bundle, copy: Path) -> None:
    """Nobody makes a bundle milder with an editor, and the card goes on telling the old promise."""
    change_manifest(copy, "recipe", "decision", "threshold", value=1.004 * bundle.recipe.decision.threshold)

    with pytest.raises(DataError):
        open_inspector(read_bundle(copy), threads=1, clock_ns=lambda: 0)


@pytest.mark.parametrize("name", ["extra.txt", "golden/extra.png", ".hidden", "run.py"])
def test_a_file_that_the_manifest_does_not_name_refuses_the_bundle(copy: Path, name: str) -> None:
    """Nothing rides along."""
    (copy / name).write_bytes(b"x")

    with pytest.raises(DataError, match=rf"does not name: {name}"):
        read_bundle(copy)


LITTER = ("Thumbs.db", "thumbs.db", ".DS_Store", "desktop.ini", "._network.onnx", "golden/._0.png", "golden/Thumbs.db")


@pytest.mark.parametrize("name", LITTER)
def test_litter_of_a_file_manager_is_told_and_never_read(bundle: Bundle, copy: Path, name: str) -> None:
    """Somebody looked into the folder with Windows or a Mac: the line goes on, and the bundle is the same."""
    (copy / name).symlink_to("/nowhere")
    found = read_bundle(copy)

    assert (found.id, found.litter) == (bundle.id, (name,))
    assert name in found.litter_in_words()
    assert not bundle.litter_in_words()
    open_inspector(found, threads=1, clock_ns=lambda: 0)


@pytest.mark.parametrize("name", ["._x/network.onnx", "Thumbs.db/run.py", "Thumbs.db.exe", "my.DS_Store"])
def test_what_only_looks_like_litter_refuses_the_bundle(copy: Path, name: str) -> None:
    """The exception is for single files of exactly these names."""
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"x")

    with pytest.raises(DataError, match="does not name"):
        read_bundle(copy)


def test_litter_is_not_copied_along(bundle: Bundle, copy: Path, tmp_path: Path) -> None:
    """A copy is what was accepted."""
    (copy / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "again").mkdir()
    copy_files(read_bundle(copy), tmp_path / "again")

    assert read_bundle(tmp_path / "again") == replace(bundle, path=tmp_path / "again")


def test_the_card_tells_of_litter(copy: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """Whoever looks at a bundle learns what else lies in its folder."""
    (copy / ".DS_Store").write_bytes(b"x")

    assert "NOTE: .DS_Store: left there by a file manager" in run("card", copy)[1]
    assert json.loads(run("card", copy, "--json")[1])["litter"] == [".DS_Store"]


@pytest.mark.parametrize("name", [SEAL, MANIFEST, NETWORK])
def test_a_folder_in_a_files_place_refuses_the_bundle(copy: Path, name: str) -> None:
    """However odd what lies there is: our own error, with the remedy."""
    (copy / name).unlink()
    (copy / name).mkdir()

    with pytest.raises(DataError):
        read_bundle(copy)


def test_what_the_engine_cannot_read_refuses_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    """Its digest is right and it is no graph: the message names the bundle, the engine and the remedy."""
    contents = {name: (bundle.path / name).read_bytes() for name in bundle.manifest.files} | {NETWORK: b"no graph"}
    odd = write_bundle(tmp_path / "odd", bundle.manifest, contents)

    with pytest.raises(DataError, match=r"odd: openvino .* cannot run its graphs"):
        open_detector(odd, threads=1)


def test_a_file_that_is_missing_refuses_the_bundle(copy: Path) -> None:
    """A copy that was broken off is named."""
    (copy / NETWORK).unlink()

    with pytest.raises(DataError, match=r"misses network\.onnx"):
        read_bundle(copy)


def test_a_link_refuses_the_bundle(copy: Path) -> None:
    """What a link points to may change after the check."""
    (copy / NETWORK).rename(copy.parent / "elsewhere")
    (copy / NETWORK).symlink_to(copy.parent / "elsewhere")

    with pytest.raises(DataError, match="is a link"):
        read_bundle(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/b/c", "golden/../x", ".x"])
def test_a_name_that_leads_outside_refuses_the_bundle(copy: Path, name: str) -> None:
    """A bundle from a stranger reads nothing but itself."""
    manifest = json.loads((copy / MANIFEST).read_text())
    change_manifest(copy, "files", value={**manifest["files"], name: "0" * 64})

    with pytest.raises(DataError, match=r"misses|not allowed|not what was accepted"):
        read_bundle(copy)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format": 2, "new": 1}', "bundle format 2, this program reads 1; upgrade it"),
        (b"{}", "restore the bundle or train the part"),
        (b"[]", "restore the bundle or train the part"),
        (b"", "is damaged"),
        (b'{"format": 1', "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"format": 1, "recipe": NaN}', "restore the bundle"),
    ],
    ids=["newer", "nothing in it", "a list", "empty", "cut off", "no text", "a hundred thousand brackets", "NaN"],
)
def test_a_manifest_that_cannot_be_read_says_what_to_do(copy: Path, content: bytes, words: str) -> None:
    """Upgrade the program, restore the bundle, or train the part."""
    (copy / MANIFEST).write_bytes(content)

    with pytest.raises(DataError, match=words):
        read_bundle(copy)


def test_a_bundle_without_a_calibration_cannot_be_loaded(copy: Path) -> None:
    """There is no threshold without its proof."""
    change_manifest(copy, "calibration", value=None)

    with pytest.raises(DataError, match=r"calibration|not what was accepted"):
        read_bundle(copy)


@pytest.mark.parametrize("name", [".", "no such folder"])
def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, name: str) -> None:
    """It says what a bundle looks like."""
    with pytest.raises(DataError, match=r"is not a bundle: expected a folder with manifest\.json"):
        read_bundle(tmp_path / name)


def test_a_bundle_that_exists_is_never_changed(bundle: Bundle) -> None:
    """Writing over it is refused, and it stays what it was."""
    with pytest.raises(DataError, match="exists already"):
        write_bundle(bundle.path, bundle.manifest, {})
    assert read_bundle(bundle.path).id == bundle.id


def test_the_golden_images_come_out_as_they_did(bundle: Bundle) -> None:
    """On the machine that calibrated nothing differs; good ones and synthetic defects are among them."""
    verdicts = {case.verdict for case in bundle.manifest.golden}

    assert self_test(bundle, open_detector(bundle, 1)) == ()
    assert len(bundle.manifest.golden) >= 4
    assert verdicts == {Verdict.OK, Verdict.NG}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("verdict", "NG", "expected NG, got OK"), ("verdict", "INVALID", "expected INVALID"), ("score", 0.5, "score")],
)
def test_a_golden_image_that_comes_out_differently_refuses_the_bundle(
    bundle: Bundle, copy: Path, key: str, value: object, words: str
) -> None:
    """Another engine, another processor, another precision: the message names the image and what to do."""
    place = next(i for i, case in enumerate(bundle.manifest.golden) if case.verdict is Verdict.OK and case.score > 0.6)
    change_manifest(copy, "golden", place, key, value=value)
    tampered = Bundle(copy, bundle.id, type(bundle.manifest).model_validate_json((copy / MANIFEST).read_text()))

    problems = self_test(tampered, open_detector(tampered, 1))
    with pytest.raises(DataError, match=rf"golden/{place}\.\w+: .*{words}.*recalibrate here"):
        open_inspector(tampered, threads=1, clock_ns=lambda: 0)

    assert len(problems) == 1


def test_a_golden_map_that_comes_out_differently_refuses_the_bundle(bundle: Bundle, copy: Path) -> None:
    """The same score from another map is another detector."""
    case = bundle.manifest.golden[0]
    amap = np.load(copy / case.amap)
    amap[:8, :8] += 0.1 * bundle.recipe.decision.threshold
    np.save(copy / case.amap, amap, allow_pickle=False)

    problems = self_test(Bundle(copy, bundle.id, bundle.manifest), open_detector(bundle, 1))

    assert problems == (f"{case.image}: the anomaly map differs by more than 2 % of the threshold",)


def test_a_bundle_that_runs_in_int8_without_its_network_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """Nothing is run in another precision than the one that was calibrated."""
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    text = (copy / "manifest.json").read_text().replace('"precision": "f32"', '"precision": "int8"')
    (copy / "manifest.json").write_text(text)
    (copy / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest())

    with pytest.raises(DataError, match=r"does not name network\.int8\.bin, network\.int8\.xml; restore the bundle"):
        read_bundle(copy)


def test_a_trained_bundle_tells_a_scratched_part(bundle: Bundle) -> None:
    """The whole way: train, write, read, check, judge."""
    inspector = open_inspector(bundle, threads=1, clock_ns=lambda: 0)
    good = [inspector.inspect(jpeg(a_part(seed))).judgement for seed in range(500, 510)]
    bad = [inspector.inspect(jpeg(a_part(seed, scratched=True))).judgement for seed in range(500, 510)]

    assert sum(judgement.verdict is Verdict.OK for judgement in good) >= 8
    assert sum(judgement.verdict is Verdict.NG for judgement in bad) >= 8


def test_the_promise_can_be_read_aloud(bundle: Bundle) -> None:
    """One sentence with rate, confidence and number of parts."""
    words = bundle.manifest.calibration.in_words()

    assert words.startswith("At most 13.9% of good parts get a verdict other than OK, at 95% confidence, from 20 good")
    assert "provisional" in words


def test_a_bundle_from_before_the_quality_gate_still_runs(bundle: Bundle) -> None:
    """Without limits and without good miniatures it judges as it did."""
    files = {name: digest for name, digest in bundle.manifest.files.items() if name != "good.png"}
    old = replace(bundle, manifest=bundle.manifest.model_copy(update={"files": files}))
    inspection = open_inspector(old, threads=1, clock_ns=lambda: 0).inspect(jpeg(np.zeros_like(a_part(1))))

    assert old.gate() is None
    assert inspection.judgement.verdict in (Verdict.OK, Verdict.NG)
    assert inspection.judgement.quality == ()


def test_a_black_image_is_refused_unless_the_check_is_switched_off(bundle: Bundle) -> None:
    """As a station is told to by `quality_off`; the other checks still find something wrong with it."""
    black = jpeg(np.zeros_like(a_part(1)))
    strict = open_inspector(bundle, threads=1, clock_ns=lambda: 0).inspect(black).judgement
    milder = open_inspector(bundle, threads=1, clock_ns=lambda: 0, quality_off=["dark"]).inspect(black).judgement

    assert strict.reason is Reason.DARK
    assert strict.score is not None
    assert milder.reason is Reason.LOW_CONTRAST
