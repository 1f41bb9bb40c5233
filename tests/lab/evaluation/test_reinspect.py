"""An archive is judged again, image by image, and nothing is done twice."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from factories import a_part, png
from typer.testing import CliRunner

from edge_inspector.bundle import Bundle
from edge_inspector.cli import app
from edge_inspector.errors import DataError
from edge_inspector.lab.evaluation import reinspect as again
from edge_inspector.lab.evaluation.reinspect import OVERLAY, ReinspectedImage, changes_of, reinspect
from edge_inspector.line.archive.archive import _OVERLAY


def silent(_words: str, _share: float) -> None:
    """Report to nobody."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Give an archive with two good parts, one of them rejected then, a scratched one accepted then, and an overlay."""
    folder = tmp_path / "archive"
    parts = {"OK/2026-01-01/a.png": a_part(900), "NG/2026-01-01/b.png": a_part(901)}
    parts |= {"OK/2026-01-02/c.png": a_part(902, scratched=True), "PINNED/2026-01-02/d.png": a_part(903)}
    for name, part in parts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(part))
    (folder / f"NG/2026-01-01/b{OVERLAY}").write_bytes(b"drawn")
    return folder


def test_verdicts_of_then_and_now_are_compared(archive: Path, bundle: Bundle, tmp_path: Path) -> None:
    """By the archive's folders; what is pinned does not say what it was, overlays are no parts."""
    judged = reinspect(archive, bundle, tmp_path / "log", 1, silent)
    changes = changes_of(judged)

    assert [one.before for one in judged] == ["NG", "OK", "OK", "-"]
    assert changes.counts == {("NG", "OK"): 1, ("OK", "OK"): 1, ("OK", "NG"): 1}
    assert [one.image for one in changes.newly_accepted] == ["NG/2026-01-01/b.png"]
    assert [one.image for one in changes.newly_refused] == ["OK/2026-01-02/c.png"]
    assert OVERLAY == _OVERLAY


def test_the_verdicts_are_kept_as_a_table(archive: Path, bundle: Bundle, tmp_path: Path) -> None:
    """A line for each image, verdict then and now."""
    command = ["reinspect", str(archive), str(bundle.path), "--log", str(tmp_path / "log"), "--workers", "1"]
    ran = CliRunner().invoke(app, [*command, "--csv", str(tmp_path / "table.csv")])
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))

    assert "4 images" in ran.stdout
    assert [(row["image"], row["before"], row["after"]) for row in rows][2] == ("OK/2026-01-02/c.png", "OK", "NG")
    assert [row["before"] for row in rows] == ["NG", "OK", "OK", ""]


def test_what_is_done_is_not_done_again(
    archive: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended in the middle of a line, it goes on with the next image and ends in the same."""
    log = tmp_path / "log"
    whole = reinspect(archive, bundle, log, 1, silent)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    seen: list[str] = []
    judge = again._judge

    def watched(folder: Path, path: Path, image: str) -> ReinspectedImage:
        seen.append(image)
        return judge(folder, path, image)

    monkeypatch.setattr(again, "_judge", watched)
    assert reinspect(archive, bundle, log, 1, silent) == whole
    assert seen == [one.image for one in whole[2:]]
    assert len(log.read_text().splitlines()) == 1 + len(whole)
    assert json.loads(log.read_text().splitlines()[1]).keys() == {"picture", "before", "after", "score", "reason"}


def test_two_processes_judge_as_one(archive: Path, bundle: Bundle, tmp_path: Path) -> None:
    """In the same order, too."""
    one, two = (reinspect(archive, bundle, tmp_path / f"{workers}.log", workers, silent) for workers in (1, 2))

    assert one == two


def test_a_torn_image_is_invalid_and_the_rest_is_judged(archive: Path, bundle: Bundle, tmp_path: Path) -> None:
    """As on the line."""
    (archive / "OK/2026-01-01/a.png").write_bytes(png(a_part(900))[:-9])
    judged = reinspect(archive, bundle, tmp_path / "log", 1, silent)

    assert [one.after for one in judged] == ["OK", "INVALID", "NG", "OK"]
    assert judged[1].score is None


def test_a_log_of_another_bundle_or_folder_is_refused(archive: Path, bundle: Bundle, tmp_path: Path) -> None:
    """Half of it would be another's; and so is a file that is something else, or a folder without images."""
    log, other = tmp_path / "log", tmp_path / "other"
    reinspect(archive, bundle, log, 1, silent)
    shutil.copytree(archive, other)
    with pytest.raises(DataError, match=f"is of bundle {bundle.id}"):
        reinspect(other, bundle, log, 1, silent)
    log.write_text(json.dumps({"picture": 1}) + "\n[]\n")
    with pytest.raises(DataError, match="expected what `reinspect` wrote"):
        reinspect(archive, bundle, log, 1, silent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in"):
        reinspect(tmp_path / "empty", bundle, tmp_path / "none", 1, silent)
