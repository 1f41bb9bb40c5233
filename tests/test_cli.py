"""A technician's mistakes end in one line that says what to do, and in an exit status that a script can read."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factories import a_part, png, write_parts

from edge_inspector import cli
from edge_inspector.bundle import Bundle


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a technician does."""
    command = [sys.executable, "-m", "edge_inspector.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def status_of(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run a command in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["edge-inspector", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(str(caught.value.code or 0))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give ten good parts: too few."""
    return write_parts(tmp_path_factory.mktemp("few"), 10)


def train(images: Path, out: Path, *more: str) -> tuple[str | Path, ...]:
    """Return the words that train a part, an autoencoder unless they say otherwise."""
    return "train", images, "--part", "washer", "--out", out, "--detector", "cae:my", *more


def test_a_wrong_folder_is_one_line_and_exit_65(tmp_path: Path) -> None:
    """No traceback, nothing on standard output, and nothing is left behind."""
    found = run(*train(tmp_path / "typo", tmp_path / "out"))

    assert found.returncode == 65
    assert found.stdout == ""
    assert found.stderr.startswith(f"edge-inspector: {tmp_path / 'typo'} is not a folder")
    assert "Traceback" not in found.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ((), 65, "10 good images of 10 different parts, at least 30 parts are needed"),
        (("--detector", "magic"), 64, "--detector magic: expected one of cae:my, cae:mvtec, "),
        (("--detector", "patchcor"), 64, "did you mean `patchcore`?"),
        (("--set", "rates=1"), 64, "did you mean `rate`?"),
        (("--set", "rate=fast"), 64, "rate: expected a number, found 'fast'"),
        (("--detector", "cae:baseline", "--size", "128"), 64, "cae:baseline takes only 256x256, got 128x128"),
        (("--set", "colour=1"), 64, "--set: unknown setting `colour`"),
        (("--set", "rate"), 64, "--set rate: expected KEY=VALUE"),
        (("--residual", "l3"), 64, "--set: residual: expected "),
        (("--size", "big"), 64, "--size big: expected N or WIDTHxHEIGHT"),
        (("--size", "100"), 64, "cae:my takes sizes that are multiples of 16, got 100x100"),
        (("--roi", "1,2,3"), 64, "--roi 1,2,3: expected x,y,width,height"),
        (("--false-reject", "5"), 64, "--false-reject 5.0: expected a number between 0 and 1"),
        (("--review", "0.05", "--false-reject", "0.1"), 64, "--review 0.05: expected more than --false-reject 0.1"),
        (("--epochs", "0"), 64, "epochs"),
        (("--no-such-option",), 64, "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_trained_is_one_line(
    few: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    status: int,
    words: str,
) -> None:
    """64 for a wrong option, 65 for wrong images; the line names what was given and what was expected."""
    assert status_of(monkeypatch, *train(few, tmp_path / "out", *more)) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["inspect", "evaluate"])
def test_a_folder_that_is_no_bundle_is_exit_65(
    few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """It says what a bundle is and what writes it."""
    assert status_of(monkeypatch, command, few, few / "part-0000.png") == 65
    assert "is not a bundle: expected a folder with manifest.json" in capsys.readouterr().err


def test_a_bundle_with_one_changed_bit_is_exit_65(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which file, and that it is not what was accepted."""
    copy = shutil.copytree(bundle.path, tmp_path / "copy")
    weights = bytearray((copy / "network.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "network.onnx").write_bytes(weights)

    assert status_of(monkeypatch, "inspect", copy, tmp_path / "any.png") == 65
    assert "network.onnx is not what was accepted" in capsys.readouterr().err


def test_another_layout_than_test_good_is_exit_65(
    bundle: Bundle, few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which folders were expected."""
    assert status_of(monkeypatch, "evaluate", bundle.path, few) == 65
    assert "expected test/good and test/<defect>" in capsys.readouterr().err


def test_wrong_settings_are_exit_78(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon does not start with a key that nobody reads."""
    (tmp_path / "settings.toml").write_text("colour = 1\n")

    assert status_of(monkeypatch, "run", "--config", tmp_path / "settings.toml") == 78
    assert "settings.toml: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "expected"), [("--max-miss", 0), ("--max-false-reject", 0), ("--rule", 64)], ids=str
)
def test_evaluate_can_guard_a_release(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    expected: int,
) -> None:
    """Exit 0 within the limits; a rule that does not exist is refused."""
    write_parts(tmp_path / "test" / "good", 2, first=1100)
    write_parts(tmp_path / "test" / "scratch", 2, scratched=True, first=2100)

    assert status_of(monkeypatch, "evaluate", bundle.path, tmp_path, "--json", option, "1.0") == expected
    told = capsys.readouterr()
    if expected == 0:
        assert json.loads(told.out)["images"] == 4
    else:
        assert "--rule 1.0: expected one of calibrated, aivision, mean+3sd, percentile-95" in told.err


def test_evaluate_exits_1_over_a_limit(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that watches for misses sees them."""
    write_parts(tmp_path / "test" / "good", 1, first=1100)
    write_parts(tmp_path / "test" / "called_bad", 2, first=1200)

    assert status_of(monkeypatch, "evaluate", bundle.path, tmp_path, "--max-miss", "0.1") == 1


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Give a good part, a scratched one, and a torn file."""
    for name, content in (("good", png(a_part(700))), ("bad", png(a_part(701, scratched=True))), ("torn", b"torn")):
        (tmp_path / f"{name}.png").write_bytes(content)
    return [tmp_path / f"{name}.png" for name in ("good", "bad", "torn")]


def test_inspect_prints_what_the_broker_would_get(bundle: Bundle, three: list[Path]) -> None:
    """--json: a list, one result a file, and exit 1 because one is not OK; a scratched part is NG with a box."""
    found = run("inspect", bundle.path, *three, "--json")
    results = json.loads(found.stdout)

    assert found.returncode == 1
    assert [result["file"] for result in results] == list(map(str, three))
    assert [result["verdict"] for result in results] == ["OK", "NG", "INVALID"]
    assert results[1]["blobs"]
    assert results[1]["score"] >= 1
    assert results[0]["bundle"]["id"] == bundle.id


def test_inspect_prints_a_table_for_people(
    bundle: Bundle, three: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, verdict, score, largest blob and time, in that order; files and folders; why an image is no verdict."""
    assert status_of(monkeypatch, "inspect", bundle.path, *three) == 1
    header, *rows, last = capsys.readouterr().out.splitlines()
    assert header.split() == ["file", "verdict", "score", "largest", "blob", "ms"]
    assert [row.split()[:2] for row in rows] == [
        [str(file), verdict] for file, verdict in zip(three, ("OK", "NG", "INVALID"), strict=True)
    ]
    assert " px" in rows[1]
    assert rows[2].endswith("4 bytes that begin with b'torn'")
    assert last == "1 INVALID, 1 NG, 1 OK"

    assert status_of(monkeypatch, "inspect", bundle.path, three[0].parent) == 1
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert status_of(monkeypatch, "inspect", bundle.path, three[0]) == 0


def test_inspect_writes_a_csv(
    bundle: Bundle, three: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a file, or to standard output for `-`."""
    target = three[0].parent / "table.csv"

    assert status_of(monkeypatch, "inspect", bundle.path, *three, "--csv", target) == 1
    assert capsys.readouterr().out == ""
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["verdict"] for row in rows] == ["OK", "NG", "INVALID"]
    assert [row["file"] for row in rows] == list(map(str, three))

    assert status_of(monkeypatch, "inspect", bundle.path, three[0], "--csv", "-") == 0
    assert capsys.readouterr().out.startswith("file,verdict,score,")


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "a", "b"),
        ("compare", "a", "b", "c"),
        ("inspect", "a", "b"),
        ("reinspect", "a", "b"),
        ("tune", "a"),
        ("lab", "table", "a"),
    ],
    ids=" ".join,
)
def test_a_table_that_cannot_be_kept_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Not after an hour of work: no such folder, or standard output is asked for twice."""
    assert status_of(monkeypatch, *words, "--csv", tmp_path / "none" / "t.csv") == 64
    assert f"{tmp_path / 'none'} is not a folder" in capsys.readouterr().err
    assert status_of(monkeypatch, *words, "--csv", "-", "--json") == 64
    assert "standard output is taken by --json" in capsys.readouterr().err


def test_evaluate_writes_a_csv(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each image, also for one that nobody saw a part in; the figures are printed all the same."""
    write_parts(tmp_path / "test" / "good", 1, first=1100)
    write_parts(tmp_path / "test" / "scratch", 1, scratched=True, first=2100)
    (tmp_path / "test" / "scratch" / "torn.png").write_bytes(b"torn")
    target = tmp_path / "table.csv"

    assert status_of(monkeypatch, "evaluate", bundle.path, tmp_path, "--csv", target) == 0
    assert "image AUROC" in capsys.readouterr().out
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [(row["defect"], row["verdict"]) for row in rows] == [
        ("good", "OK"),
        ("scratch", "NG"),
        ("scratch", "unreadable"),
    ]
    assert float(rows[1]["score"]) >= 1


def test_a_part_is_trained_from_the_command_line(good_parts: Path, tmp_path: Path) -> None:
    """A folder of good images in, a bundle out, its card as JSON on standard output; a second time is refused."""
    words = train(good_parts, tmp_path / "out", "--size", "64", "--epochs", "2", "--json")
    found = run(*words)
    card = json.loads(found.stdout)

    assert found.returncode == 0, found.stderr
    assert card["part"] == "washer"
    assert card["steps"] == 2 * (28 // 8)
    assert card["calibration"]["groups"] == 20
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert "Traceback" not in found.stderr


def test_a_card_says_what_a_bundle_promises(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bounds, outliers and synthetic defects, as text and as JSON; exit 1 only when it is unfit."""
    card = bundle.manifest.calibration
    expected = 1 if card.unfit else 0

    assert status_of(monkeypatch, "card", bundle.path, "--plot", tmp_path / "card.svg") == expected
    text = capsys.readouterr().out
    assert card.in_words() in text
    assert "not OK: at most 13.9% of good parts; of these 20, 0 may be so." in text
    assert card.outliers[0].image in text
    assert "all kinds, 95 % bounds" in text
    assert (tmp_path / "card.svg").read_bytes().startswith(b"<svg")

    assert status_of(monkeypatch, "card", bundle.path, "--json") == expected
    found = json.loads(capsys.readouterr().out)["calibration"]
    assert [bound["of"] for bound in found["bounds"]] == ["NG", "not OK", "INVALID"]
    assert found["suspects"][0]["used_for"] == "calibrate"
    assert all(one["rate_low"] <= one["found"] / one["planted"] <= one["rate_high"] for one in found["planted"])


def test_calibrating_shows_the_table_and_the_images(
    bundle: Bundle,
    good_parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With images of defective parts: the pairs as text and as JSON; the most unusual good images in a folder."""
    ng = write_parts(tmp_path / "ng", 3, scratched=True, first=2000)
    words = ("calibrate", bundle.path, "--ok", good_parts, "--again", "--ng", ng, "--false-reject", "0.2")

    assert status_of(monkeypatch, *words, "--out", tmp_path / "a", "--overlays", tmp_path / "look") == 0
    text = capsys.readouterr().out
    assert "  <- chosen" in text
    assert "0 of 3" in text
    assert len(list((tmp_path / "look").glob("*.png"))) >= 5

    assert status_of(monkeypatch, *words, "--out", tmp_path / "b", "--json") == 0
    found = json.loads(capsys.readouterr().out)["calibration"]
    assert sum(pair["chosen"] for pair in found["area_pairs"]) == 1


@pytest.mark.parametrize(("parts", "status"), [(32, 0), (10, 1)])
def test_data_check_exits_1_on_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parts: int, status: int
) -> None:
    """A script can ask before it trains; the text and the JSON say why."""
    write_parts(tmp_path / "good", parts)

    assert status_of(monkeypatch, "data", "check", tmp_path / "good") == status
    assert ("Nothing amiss." if status == 0 else "TOO FEW: 10 different good parts") in capsys.readouterr().out
    assert status_of(monkeypatch, "data", "check", tmp_path / "good", "--json") == status
    found = json.loads(capsys.readouterr().out)
    assert found["groups"] == parts
    assert [finding["kind"] for finding in found["findings"]] == ([] if status == 0 else ["too few"])
    assert all(finding.keys() == {"kind", "words", "pictures"} for finding in found["findings"])
    assert status_of(monkeypatch, "data", "check", tmp_path / "typo") == 65
