"""The installer, without a machine to install on; tests/service has one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
INSTALLER = SYSTEMD / "install.sh"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the installer."""
    return subprocess.run(["bash", INSTALLER, *words], capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", sorted(SYSTEMD.glob("*.sh")), ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    """Quotes, word splitting, unchecked cds: the ways in which shell scripts delete the wrong folder."""
    found = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("words", [("install", "--broker", "--dashboard"), ("uninstall",)])
def test_a_dry_run_says_all_and_does_nothing(words: tuple[str, ...]) -> None:
    """Each step is a line; this computer stays as it is."""
    places = [Path("/opt/edge-inspector"), Path("/etc/edge-inspector"), Path("/usr/local/bin/edge-inspector")]
    before = [place.exists() for place in places]
    found = run("--dry-run", *words)

    assert found.returncode == 0, found.stderr
    assert "would run: rm -rf" in found.stdout
    assert [place.exists() for place in places] == before


def test_a_dry_run_names_the_version_folder_and_the_units() -> None:
    """A technician sees where things go."""
    said = run("--dry-run").stdout

    assert "would run: /usr/bin/python3 -m venv /opt/edge-inspector/0.1.0-" in said
    assert "would write: /etc/systemd/system/edge-inspector@.service" in said


@pytest.mark.parametrize("words", [("instal",), ("--purge",), ("rollback", "0.1.0")])
def test_an_unknown_word_is_a_usage_fault(words: tuple[str, ...]) -> None:
    """Nothing is guessed by a script that runs as root."""
    found = run("--dry-run", *words)

    assert found.returncode == 64
    assert "unknown word" in found.stderr


@pytest.mark.skipif(Path("/opt/edge-inspector").exists(), reason="edge-inspector is installed on this computer")
@pytest.mark.parametrize(("word", "words"), [("rollback", "no version before"), ("stations", "not installed")])
def test_what_needs_an_installation_says_so(word: str, words: str) -> None:
    """One line, exit 65."""
    found = run("--dry-run", word)

    assert found.returncode == 65
    assert words in found.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="this is root")
def test_without_root_nothing_is_begun() -> None:
    """Said first, not halfway."""
    assert run("install").returncode == 77
