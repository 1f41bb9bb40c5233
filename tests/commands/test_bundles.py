"""Which bundle a part is judged by is somebody's decision, and stays readable."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from factories import a_twin

from edge_inspector.bundle import Bundle, read_bundle
from edge_inspector.errors import DataError, DiskError
from edge_inspector.line.setup import approvals
from edge_inspector.line.setup.approvals import approvals_file, read_approvals

Run = Callable[..., tuple[int, str, str]]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def unproven(_bundle: Bundle) -> None:
    """Take every bundle."""


def said(link: Path) -> list[tuple[str, str, str]]:
    """Return action, name and bundle of each approval."""
    return [(line.action, line.by, line.bundle) for line in read_approvals(link)]


@pytest.fixture
def twin(bundle: Bundle, tmp_path: Path) -> Bundle:
    """Give another bundle of the same part."""
    return a_twin(bundle, tmp_path / "taught" / "twin", 7)


def test_the_link_is_the_bundle_that_was_approved_last(tmp_path: Path, bundle: Bundle, twin: Bundle, run: Run) -> None:
    """Approve, approve, back; who and when stands beside the link, and the versions stay."""
    link = tmp_path / "bundles" / "washer"
    ids = []
    for words in (
        ("approve", bundle.path, link, "--by", "J. Smith", "--note", "first"),
        ("approve", twin.path, link, "--by", "M. Rossi"),
        ("rollback", link, "--by", "J. Smith", "--note", "misses scratches"),
    ):
        status, out, _ = run("bundle", *words)
        assert status == 0
        assert "systemctl reload" in out
        ids.append(read_bundle(link).id)
    lines = [json.loads(line) for line in approvals_file(link).read_text().splitlines()]

    assert ids == [bundle.id, twin.id, bundle.id]
    assert said(link) == [
        ("approve", "J. Smith", bundle.id),
        ("approve", "M. Rossi", twin.id),
        ("rollback", "J. Smith", bundle.id),
    ]
    assert [line["note"] for line in lines] == ["first", "", "misses scratches"]
    assert all(datetime.fromisoformat(line["at"]).tzinfo for line in lines)
    assert read_bundle(link.with_name(f"washer-{twin.id}")).id == twin.id


def test_a_second_rollback_goes_one_further(tmp_path: Path, bundle: Bundle, twin: Bundle) -> None:
    """And the first approval is the end of it."""
    link = tmp_path / "b" / "washer"
    third = a_twin(bundle, tmp_path / "taught" / "third", 8)
    for one in (bundle, twin, third):
        approvals.approve(one.path, link, "J", "", NOW, unproven)
    back = [approvals.rollback(link, "J", "", NOW, unproven).bundle for _ in range(2)]

    assert back == [twin.id, bundle.id]
    with pytest.raises(approvals.UsageError, match="nothing to go back to"):
        approvals.rollback(link, "J", "", NOW, unproven)
    assert approvals.approve(third.path, link, "J", "", NOW, unproven).bundle == third.id


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("approve", "{bundle}", "{link}", "--by", " "), 64, "--by"),
        (("approve", "{bundle}", "{link}", "--by", "two\nlines"), 64, "--by"),
        (("approve", "{bundle}", "{link}", "--by", "x" * 65), 64, "--by"),
        (("approve", "{bundle}", "{link}"), 64, "--by"),
        (("approve", "{bundle}", "{folder}", "--by", "J"), 64, "expected a link"),
        (("approve", "{folder}", "{link}", "--by", "J"), 65, "is not a bundle"),
        (("rollback", "{link}", "--by", "J"), 64, "nothing to go back to"),
    ],
)
def test_what_cannot_be_approved_changes_nothing(
    tmp_path: Path, bundle: Bundle, run: Run, words: tuple[str, ...], status: int, complaint: str
) -> None:
    """One clear error; no link, no line."""
    link, folder = tmp_path / "washer", tmp_path / "folder"
    folder.mkdir()
    filled = [word.format(bundle=bundle.path, link=link, folder=folder) for word in words]
    found, _, err = run("bundle", *filled)

    assert found == status
    assert complaint in err
    assert not link.is_symlink()
    assert not read_approvals(link)


def test_a_bundle_that_judges_otherwise_here_is_not_approved(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    """The golden images are judged on this machine before anything is written."""
    cases = (bundle.manifest.golden[0].model_copy(update={"score": 0.987}), *bundle.manifest.golden[1:])
    other = a_twin(bundle, tmp_path / "other", 9, golden=cases)
    status, _, err = run("bundle", "approve", other.path, tmp_path / "washer", "--by", "J")

    assert status == 65
    assert "gives other answers here" in err
    assert not (tmp_path / "washer").exists()


def test_a_part_that_the_line_would_refuse_is_not_approved(tmp_path: Path, bundle: Bundle) -> None:
    """Bundles of older versions have such names; the station that reloads would refuse it, at night."""
    recipe = bundle.recipe.model_copy(update={"part": "bracket left"})
    odd = a_twin(bundle, tmp_path / "odd", 7, recipe=recipe)

    with pytest.raises(DataError, match="part 'bracket left': expected 1 to 64 characters"):
        approvals.approve(odd.path, tmp_path / "b" / "link", "J", "", NOW, unproven)
    assert not (tmp_path / "b").exists()


def test_the_same_bundle_twice_and_another_part_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    """A link belongs to one part; an approval that changes nothing is a mistake."""
    link = tmp_path / "b" / "washer"
    recipe = bundle.recipe.model_copy(update={"part": "bracket"})
    bracket = a_twin(bundle, tmp_path / "bracket", 7, recipe=recipe)
    approvals.approve(bundle.path, link, "J", "", NOW, unproven)

    with pytest.raises(approvals.UsageError, match="already"):
        approvals.approve(bundle.path, link, "J", "", NOW, unproven)
    with pytest.raises(DataError, match="expected washer"):
        approvals.approve(bracket.path, link, "J", "", NOW, unproven)
    assert said(link) == [("approve", "J", bundle.id)]


def test_a_version_that_was_damaged_is_not_gone_back_to(tmp_path: Path, bundle: Bundle, twin: Bundle) -> None:
    """The bundle of now stays."""
    link = tmp_path / "b" / "washer"
    for one in (bundle, twin):
        approvals.approve(one.path, link, "J", "", NOW, unproven)
    (link.with_name(f"washer-{bundle.id}") / "network.onnx").write_bytes(b"another")

    with pytest.raises(DataError, match="is not what was accepted"):
        approvals.rollback(link, "J", "", NOW, unproven)
    assert read_bundle(link).id == twin.id
    assert len(read_approvals(link)) == 2


def test_a_power_cut_leaves_what_was_or_what_will_be(
    tmp_path: Path, bundle: Bundle, twin: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the middle of the line: it never counted. Cut between line and link: approving again finishes it."""
    link = tmp_path / "b" / "washer"
    approvals.approve(bundle.path, link, "J", "", NOW, unproven)
    with approvals_file(link).open("ab") as file:
        file.write(b'{"at": "20')
    cut = read_approvals(link)

    def full(_self: Path, _target: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "symlink_to", full)
        with pytest.raises(DiskError, match="No space left"):
            approvals.approve(twin.path, link, "J", "", NOW, unproven)
    before = read_bundle(link).id
    approvals.approve(twin.path, link, "J", "", NOW, unproven)

    assert len(cut) == 1
    assert before == bundle.id
    assert read_bundle(link).id == twin.id
    assert approvals.rollback(link, "J", "", NOW, unproven).bundle == bundle.id


@pytest.fixture
def unfit(bundle: Bundle, tmp_path: Path) -> Bundle:
    """Give a bundle that finds 12 of 60 synthetic defects."""
    card = bundle.manifest.calibration.model_copy(update={"unfit": True, "notes": ("UNFIT: 12 of 60 are found",)})
    return a_twin(bundle, tmp_path / "unfit", 11, calibration=card)


def test_an_unfit_bundle_is_not_approved(tmp_path: Path, unfit: Bundle, run: Run) -> None:
    """The card says so, and what to do; a note alone allows nothing."""
    link = tmp_path / "washer"
    status, _, err = run("bundle", "approve", unfit.path, link, "--by", "J", "--note", "in a hurry")

    assert status == 65
    assert "UNFIT: 12 of 60 are found" in err
    assert "--allow-unfit" in err
    assert not link.exists()


def test_an_unfit_bundle_is_approved_only_with_a_reason(tmp_path: Path, unfit: Bundle, run: Run) -> None:
    """Who allowed it, and why, stands beside the link."""
    link = tmp_path / "washer"
    command = ("bundle", "approve", unfit.path, link, "--by", "J", "--allow-unfit")
    status, _, err = run(*command)
    assert status == 64
    assert "--note is missing" in err
    assert not link.exists()

    status, _, _ = run(*command, "--note", "monitor mode only")
    assert status == 0
    assert read_bundle(link).id == unfit.id
    assert read_approvals(link)[0].note == "monitor mode only"
