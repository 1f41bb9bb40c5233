"""What is in nodered/ fits together."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
from dashboards import NODERED

LANGUAGES = json.loads((NODERED / "labels.json").read_text())


@pytest.mark.usefixtures("programs")
def test_the_flow_is_what_its_parts_build(tmp_path: Path) -> None:
    """Whoever edits a page and forgets `node build.js` learns it here."""
    subprocess.run(["node", str(NODERED / "build.js"), str(tmp_path / "flows.json")], check=True)

    assert (tmp_path / "flows.json").read_text() == (NODERED / "flows.json").read_text()


def paths(table: object, path: str = "") -> set[str]:
    """Return the path of every label in a language."""
    if not isinstance(table, dict):
        return {path}
    return {deeper for key, value in table.items() for deeper in paths(value, f"{path}/{key}")}


def test_every_language_has_every_label() -> None:
    """No label is forgotten in one language."""
    english = paths(LANGUAGES["en"])

    assert [language for language, table in LANGUAGES.items() if paths(table) != english] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_its_words_and_its_remedy(language: str) -> None:
    """The numbers are the ones that the inspection gives."""
    model = pytest.importorskip("edge_inspector.inspection.model")

    assert {str(reason.number) for reason in model.Reason} == set(LANGUAGES[language]["reasons"])


def alarm_codes() -> set[str]:
    """Return the codes of all alarms that the daemon can raise: the first argument of `Fault` and `Alarm`."""
    found = set()
    for path in (NODERED.parent / "edge_inspector").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Fault", "Alarm"):
                code = node.args[0]
                found |= {one.value for one in ast.walk(code) if isinstance(one, ast.Constant)}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_alarm_has_its_words_and_its_remedy(language: str) -> None:
    """An operator reads what is wrong and what to do, not a code."""
    table = LANGUAGES[language]

    assert alarm_codes() >= {"challenge_failed", "challenge_overdue", "monitor"}
    assert alarm_codes() - table["alarm_texts"].keys() == set()
    assert table["alarm_texts"].keys() == table["alarm_remedies"].keys()


def test_versions_are_pinned_and_the_lock_names_no_registry() -> None:
    """The dashboard that was tested is the one that is installed, from whatever mirror a plant has."""
    package = json.loads((NODERED / "package.json").read_text())
    lock = (NODERED / "package-lock.json").read_text()

    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())
    assert not re.findall(r'"resolved"', lock)
    assert lock.count('"integrity"') > 300


def test_no_secret_is_in_the_flow() -> None:
    """Broker, user and password are names of variables."""
    flow = json.loads((NODERED / "flows.json").read_text())
    broker = next(node for node in flow if node["type"] == "mqtt-broker")
    secrets = json.loads((NODERED / "flows_cred.json").read_text())[broker["id"]]

    assert broker["broker"] == "${EDGE_INSPECTOR_MQTT_URL}"
    assert all(re.fullmatch(r"\$\{EDGE_INSPECTOR_\w+}", value) for value in secrets.values())
