"""A station that ran version 0.1 goes on under this one: its bundle and its ledger are read as they are.

`tests/version_0_1/` was written by version 0.1 itself.
"""

import hashlib
import json
import shutil
import time
from pathlib import Path
from zipfile import ZipFile

import pytest
from factories import a_part, a_result_builder, png, write_parts
from typer.testing import CliRunner

from edge_inspector.bundle import Bundle, Manifest, open_inspector, read_bundle
from edge_inspector.cli import app
from edge_inspector.inspection.model import Verdict
from edge_inspector.line.ledger.high_water import HighWater
from edge_inspector.line.ledger.history import Wanted, audit_trail, find, verify
from edge_inspector.line.ledger.ledger import open_ledger

KEPT = Path(__file__).parent / "version_0_1"


@pytest.fixture(scope="module")
def old_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Give the bundle that version 0.1 trained."""
    folder = tmp_path_factory.mktemp("version_0_1") / "bundle"
    with ZipFile(KEPT / "bundle.zip") as archive:
        archive.extractall(folder)
    return read_bundle(folder)


@pytest.fixture
def old_ledger(tmp_path: Path) -> Path:
    """Give a copy of the ledger that version 0.1 wrote, with its high-water marks."""
    for name in ("ledger.db", "high-water.json"):
        shutil.copy(KEPT / name, tmp_path / name)
    return tmp_path / "ledger.db"


def test_the_manifest_is_written_as_it_was_read(old_bundle: Bundle) -> None:
    """Each key of then is there with its value, and the recipe keeps its digest, byte by byte."""
    raw = (old_bundle.path / "manifest.json").read_bytes()
    then = json.loads(raw)
    now = json.loads(old_bundle.manifest.model_dump_json())
    recipe = old_bundle.recipe.model_dump_json()

    assert {section: now[section] | then[section] for section in ("calibration", "detector", "provenance")} == {
        section: now[section] for section in ("calibration", "detector", "provenance")
    }
    assert (now["golden"], now["files"]) == (then["golden"], then["files"])
    assert old_bundle.id == hashlib.sha256(raw).hexdigest()[:12]
    assert recipe == json.dumps(then["recipe"], separators=(",", ":"))
    assert Manifest.model_validate(now) == old_bundle.manifest


def test_the_bundle_judges(old_bundle: Bundle) -> None:
    """Its golden images come out as they did, and so does what this test draws."""
    inspector = open_inspector(old_bundle, threads=1, clock_ns=time.perf_counter_ns)

    for case in old_bundle.manifest.golden:
        found = inspector.inspect((old_bundle.path / case.image).read_bytes()).judgement
        assert found.verdict is case.verdict
        assert found.score == pytest.approx(case.score, abs=0.01)
    assert old_bundle.gate() is not None
    assert inspector.inspect(png(a_part(900))).judgement.verdict is Verdict.OK


def test_the_commands_read_the_bundle(old_bundle: Bundle, tmp_path: Path) -> None:
    """Under the keys that a script of then reads."""
    write_parts(tmp_path / "test" / "good", 3, first=900)
    write_parts(tmp_path / "test" / "scratch", 2, first=950, scratched=True)
    shown = CliRunner().invoke(app, ["card", str(old_bundle.path), "--json"])
    evaluated = CliRunner().invoke(app, ["evaluate", str(old_bundle.path), str(tmp_path), "--json"])

    card = json.loads(shown.stdout)["calibration"]
    assert shown.exit_code == 0
    assert {"taken_out", "suspects", "planted", "bounds", "area_pairs"} <= card.keys()
    assert card["suspects"][0].keys() == {"picture", "digest", "used_for", "score"}
    assert card["planted"][0].keys() == {"kind", "size", "contrast", "planted", "found", "rate_low", "rate_high"}
    assert evaluated.exit_code == 0
    assert json.loads(evaluated.stdout)


def test_the_ledger_goes_on(old_ledger: Path) -> None:
    """Results, counters, audit trail, feedback, open trigger and attempt, cursor and active part; then the next."""
    with open_ledger(old_ledger, lambda: "another", time.time_ns) as ledger:
        kept = ledger.results.between(1, 8)
        counted = ledger.counters.since_reset(0)
        open_trigger, attempts = ledger.triggers.unanswered(), ledger.attempts.begun()
        cursor, part, name = ledger.outbox.cursor(), ledger.state.active_part(), ledger.id
        feedback = ledger._db.execute("SELECT id, agree, comment, by FROM feedback").fetchall()
        recorded = ledger.results.record(a_result_builder(id="the next"), None)

    assert [json.loads(result)["id"] for result in kept] == [f"part-{n}" for n in range(8)]
    assert (counted.total, counted.ok, counted.error) == (8, 7, 1)
    assert [row[:3] for row in open_trigger] == [("arrival-9", "t9", "washer")]
    assert attempts == {"part-9"}
    assert (cursor, part, name) == (4, "washer", "ledger-0.1")
    assert feedback == [("part-3", 0, "it is good", "anna")]
    assert recorded is not None
    assert recorded.seq == 9


def test_the_ledger_is_found_and_proven(old_ledger: Path) -> None:
    """`history` reads it before any daemon has, and the chain holds before and after."""
    found = [one.result.id for one in find(old_ledger, Wanted(lot="L7", verdict="ERROR"))]
    audited = [(line.command, line.by) for line in audit_trail(old_ledger, Wanted())]
    before = verify(old_ledger)
    with open_ledger(old_ledger, lambda: "another", time.time_ns) as ledger:
        ledger.audit.record("resume", "anna", "done", "{}")

    assert found == ["part-5"]
    assert audited == [("pause", "anna")]
    assert before.problem == verify(old_ledger).problem == ""


def test_the_high_water_marks_are_kept(old_ledger: Path) -> None:
    """A ledger that is begun anew beside them gives no number twice."""
    assert HighWater(old_ledger.with_name("high-water.json")).read().seq == 1001

    old_ledger.unlink()
    with open_ledger(old_ledger, lambda: "another", time.time_ns) as ledger:
        recorded = ledger.results.record(a_result_builder(id="the next"), None)

    assert recorded is not None
    assert recorded.seq == 1002
