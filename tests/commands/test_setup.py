"""A new station, and one that is cloned."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import a_twin

from edge_inspector.bundle import Bundle, read_bundle
from edge_inspector.settings import read_settings

Run = Callable[..., tuple[int, str, str]]


def begin(folder: Path, bundle: Bundle, *more: str | Path) -> tuple[str | Path, ...]:
    """Return the words that make a station in `folder`, at a broker that nobody runs."""
    return (
        "init", "press-1", "--bundle", bundle.path, "--inbox", folder / "in", "--broker", "127.0.0.1:1",
        "--config", folder / "press.toml", "--state-dir", folder / "state", *more,
    )  # fmt: skip


def test_a_new_station_is_written_checked_and_explained(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    """Settings, a bundle of its own, the camera's folder; what is amiss (no broker here) is a finding; what is next."""
    status, out, _ = run(*begin(tmp_path, bundle))
    settings = read_settings(tmp_path / "press.toml")
    part = settings.station[0].part[0]

    assert status == 1
    assert "FAIL station press-1, broker 127.0.0.1:1" in out
    assert out.count("FAIL") == 1
    assert len(out.split("next:\n")[1].splitlines()) == 3
    assert (part.name, read_bundle(part.bundle).id) == (bundle.recipe.part, bundle.id)
    assert part.bundle.is_relative_to(tmp_path)
    assert (tmp_path / "in").is_dir()
    assert "clock" in out


def test_a_settings_file_is_never_written_over(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    """It belongs to somebody."""
    (tmp_path / "press.toml").write_text("mine")
    status, _, err = run(*begin(tmp_path, bundle))

    assert status == 64
    assert "exists already" in err
    assert (tmp_path / "press.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (("--device", "0"), 64, "one source, found two"),
        (("--broker", "host:port"), 64, "expected HOST or HOST:PORT"),
        (("--broker", "host:99999"), 78, "mqtt.port"),
        (("--username", "me"), 64, "--username needs --password-file"),
        (("--bundle", "/nowhere"), 65, "/nowhere is not a bundle"),
    ],
)
def test_a_wrong_answer_is_one_line_and_no_settings(
    tmp_path: Path, bundle: Bundle, run: Run, more: tuple[str, ...], status: int, words: str
) -> None:
    """Nothing that looks finished is left behind."""
    found, _, err = run(*begin(tmp_path, bundle, *more))

    assert found == status
    assert words in err
    assert not list(tmp_path.glob("*press.toml*"))


def test_nobody_to_ask_is_a_usage_fault(tmp_path: Path, run: Run) -> None:
    """A script that forgot an option does not hang."""
    status, _, err = run("init", "press-1", "--config", tmp_path / "press.toml")

    assert status == 64
    assert "--bundle is missing" in err


def test_a_station_is_cloned_by_one_file(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    """Same part, same bundle, another name and place; the exported file is the same every time."""
    here, there = tmp_path / "here", tmp_path / "there"
    run(*begin(here, bundle))
    with (here / "press.toml").open("a") as settings:
        settings.write('username = "inspector"\npassword_file = "secret"\n')
    (here / "secret").write_text("correct horse")
    first = run("station", "export", here / "1.station", "--config", here / "press.toml")
    run("station", "export", here / "2.station", "--config", here / "press.toml")
    (here / "bundles").rename(here / "gone")
    status, out, _ = run(
        "station", "import", here / "1.station", "--config", there / "two.toml", "--station", "press-2"
    )
    cloned = read_settings(there / "two.toml")

    assert first[0] == status == 0
    assert "left out: mqtt.password_file secret" in first[1]
    assert (here / "1.station").read_bytes() == (here / "2.station").read_bytes()
    assert b"correct horse" not in b"".join(read_all(here / "1.station").values())
    assert cloned.station[0].name == "press-2"
    assert read_bundle(cloned.station[0].part[0].bundle).id == bundle.id
    assert cloned.state_dir == Path("/var/lib/edge-inspector/two")
    assert "still to bring: mqtt.password_file" in out


def test_a_name_that_no_topic_takes_is_refused_before_anything_is_written(
    tmp_path: Path, bundle: Bundle, run: Run
) -> None:
    """Of the part in a bundle, and of a station: one rule, and no copies of bundles that nobody uses."""
    here, there = tmp_path / "here", tmp_path / "there"
    odd = a_twin(bundle, tmp_path / "odd", 7, recipe=bundle.recipe.model_copy(update={"part": "bracket left"}))
    run(*begin(here, bundle))
    run("station", "export", here / "1.station", "--config", here / "press.toml")
    for words, status in (
        (begin(there, odd), 65),
        (("init", "press 1", *begin(there, bundle)[2:]), 78),
        (("station", "import", here / "1.station", "--config", there / "c.toml", "--station", "press 2"), 78),
        (("train", here, "--part", "bracket left", "--out", there), 64),
    ):
        found, _, err = run(*words)

        assert (found, there.exists()) == (status, False), words
        assert "expected 1 to 64 characters, no space" in err


def read_all(archive: Path) -> dict[str, bytes]:
    """Return an archive's files."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def write_all(archive: Path, content: dict[str, bytes]) -> Path:
    """Write an archive with any names."""
    with zipfile.ZipFile(archive, "w") as opened:
        for name, data in content.items():
            opened.writestr(zipfile.ZipInfo(name), data)
    return archive


@pytest.fixture
def exported(tmp_path: Path, bundle: Bundle, run: Run) -> dict[str, bytes]:
    """Give the files of an exported station."""
    run(*begin(tmp_path / "source", bundle))
    run("station", "export", tmp_path / "a.station", "--config", tmp_path / "source/press.toml")
    return read_all(tmp_path / "a.station")


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "/etc/cron.d/evil", "bundles/../../evil", "bundles/x/../../../evil", "bundles/..", "bundles/x",
        "bundles/x/a/b/c", "bundles\\x\\y", "C:evil", "bundles/.hidden/x", "bundles/x/.ssh", "press.toml",
        "bundles/x/a\n", "bundles/x/a\u202e", "bundles//x", "./station.toml", "station.toml/x",
    ],
)  # fmt: skip
def test_a_name_that_leaves_the_folder_refuses_the_file(
    tmp_path: Path, exported: dict[str, bytes], run: Run, name: str
) -> None:
    """A stranger's file writes nothing anywhere."""
    archive = write_all(tmp_path / "evil.station", {**exported, name: b"x"})
    status, _, err = run("station", "import", archive, "--config", tmp_path / "new/press.toml")

    assert status == 65
    assert "is not an exported station" in err
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.rglob("evil"))


def test_a_changed_bundle_is_not_imported(tmp_path: Path, exported: dict[str, bytes], run: Run) -> None:
    """One bit is enough."""
    name = next(name for name in exported if name.endswith("network.onnx"))
    exported[name] = exported[name][:-1] + bytes([exported[name][-1] ^ 1])
    archive = write_all(tmp_path / "changed.station", exported)
    status, _, err = run("station", "import", archive, "--config", tmp_path / "new/press.toml")

    assert status == 65
    assert "is not what was accepted" in err
    assert not (tmp_path / "new/press.toml").exists()
    assert not list((tmp_path / "new/bundles").iterdir())


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_file_that_is_cut_or_no_archive_is_damaged(
    tmp_path: Path, exported: dict[str, bytes], run: Run, size: int
) -> None:
    """The stick was pulled too early."""
    whole = write_all(tmp_path / "whole.station", exported)
    (tmp_path / "cut.station").write_bytes(whole.read_bytes()[:size])
    status, _, err = run("station", "import", tmp_path / "cut.station", "--config", tmp_path / "new/press.toml")

    assert status == 65
    assert "damaged" in err


def test_a_camera_s_login_is_not_exported(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    """An address may hold a password; the clone gets the address alone."""
    config = tmp_path / "camera.toml"
    config.write_text(
        '[[station]]\nname = "st1"\n[station.source]\nkind = "capture"\ndevice = "rtsp://me:hunter2@10.0.0.9/live"\n'
        f'[[station.part]]\nname = "washer"\nbundle = {json.dumps(str(bundle.path))}\n'
    )
    status, out, _ = run("station", "export", tmp_path / "c.station", "--config", config)
    content = b"".join(read_all(tmp_path / "c.station").values())

    assert status == 0
    assert "left out: station st1: login and query in the address of its camera" in out
    assert b"hunter2" not in content
    assert b"rtsp://10.0.0.9/live" in content


def test_a_station_begins_with_an_unfit_bundle_only_with_a_reason(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    """The reason stands above the settings, in one line of a comment or several."""
    card = bundle.manifest.calibration.model_copy(update={"unfit": True})
    unfit = a_twin(bundle, tmp_path / "unfit", 11, calibration=card)
    status, _, err = run(*begin(tmp_path, unfit))
    assert status == 65
    assert "UNFIT" in err
    assert not (tmp_path / "press.toml").exists()

    status, _, err = run(*begin(tmp_path, unfit, "--allow-unfit", "--note", " "))
    assert status == 64
    assert "--note is missing" in err

    status, _, _ = run(*begin(tmp_path, unfit, "--allow-unfit", "--note", "a trial\n[mqtt]"))
    assert status == 1  # no broker here
    text = (tmp_path / "press.toml").read_text()
    assert text.startswith("# UNFIT bundle allowed: a trial\n# [mqtt]\n")
    assert read_bundle(read_settings(tmp_path / "press.toml").station[0].part[0].bundle).id == unfit.id
