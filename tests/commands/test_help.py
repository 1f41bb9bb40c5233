"""`--help` answers what a technician asks: what it is, what it takes, what stands where nothing is said."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from edge_inspector import __version__, cli
from edge_inspector.commands.help import PANELS
from edge_inspector.commands.names import RETIRED, present_name
from edge_inspector.detectors.settings import KINDS, kind_in_words, settings_in_words


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401
    """Yield the words and the command of every command."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, member in command.commands.items():
        yield from walk(member, (*words, name))


COMMANDS = dict(walk(get_command(cli.app)))


def help_of(*words: str) -> str:
    """Return what a command's help says, in lines long enough for everything."""
    found = CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"})
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_says_its_default_or_that_it_is_required(words: tuple[str, ...]) -> None:
    """Nobody reads the source to learn what happens where nothing is said."""
    told = help_of(*words)
    options = [one for one in COMMANDS[words].params if not one.hidden]

    assert [one.name for one in options if not one.help] == []
    assert told.count("[default: ") + told.count("[required]") >= len(options)
    for one in options:
        assert one.required or getattr(one, "show_default", None), one.name


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_stands_in_a_group(words: tuple[str, ...]) -> None:
    """Sixty options in one list are found by nobody."""
    names = {name for panel in PANELS.values() for name in panel.split()}
    options = {one.name for one in COMMANDS[words].params if one.opts[0].startswith("-")}

    assert options - names == set()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_and_its_exit_codes(words: tuple[str, ...]) -> None:
    """The example is one that the program takes: its words, and options that the command has."""
    told = help_of(*words)
    (example,) = (line.split("Example:")[1].split() for line in told.splitlines() if "Example:" in line)
    known = {option for one in COMMANDS[words].params for option in one.opts}

    assert example[: len(words) + 1] == ["edge-inspector", *words]
    assert {word for word in example if word.startswith("--")} <= known
    needed = {one.opts[-1] for one in COMMANDS[words].params if one.required and one.opts[0].startswith("-")}
    assert needed <= set(example)
    assert "Exit codes: 0 done, " in told


def test_the_program_says_first_what_it_is() -> None:
    """One sentence, three lines to copy, and the commands in groups."""
    told = help_of()

    assert told.index("Visual inspection for a factory PC") < told.index("edge-inspector train good")
    assert [told.index(f"─ {panel} ─") for panel in ("Train", "Examine", "Run", "Maintain", "Benchmark")] == sorted(
        told.index(f"─ {panel} ─") for panel in ("Train", "Examine", "Run", "Maintain", "Benchmark")
    )


def test_the_version_is_printed() -> None:
    """Support asks for it first."""
    assert CliRunner().invoke(cli.app, ["--version"]).output == f"edge-inspector {__version__}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sentence_and_its_settings(kind: str) -> None:
    """`--detector` says what there is, `--help-settings` what each takes, whatever the order of the two."""
    assert kind_in_words(kind).endswith(".")
    assert kind_in_words(kind) in help_of("train")
    for words in (("--detector", kind, "--help-settings"), ("--help-settings", "--detector", kind)):
        told = CliRunner().invoke(cli.app, ["train", *words])
        assert told.exit_code == 0
        assert told.output.splitlines() == list(settings_in_words(kind))
    for line in settings_in_words(kind):
        setting, _, meaning = line.partition("  ")
        assert "=" in setting
        assert meaning, setting


@pytest.mark.parametrize("old", RETIRED)
def test_a_retired_name_is_taken_and_not_shown(old: str) -> None:
    """A script of last year goes on; help names only the new one."""
    options = {option for command in COMMANDS.values() for one in command.params for option in one.opts}
    commands = {word for words in COMMANDS for word in words}

    assert old not in commands
    assert f"--{old}" not in options
    assert present_name(old) in commands or f"--{present_name(old)}" in options


def test_retired_names_work(tmp_path: Any) -> None:  # noqa: ANN401
    """The old command and the old options reach the same functions."""
    for words in (
        ("repeat", tmp_path, tmp_path),
        ("bench", tmp_path, "--pictures", tmp_path),
        ("calibrate", tmp_path, "--ok", tmp_path, "--out", tmp_path / "b", "--take-out", "a.png"),
        ("train", tmp_path, "--part", "p", "--out", tmp_path / "b", "--max-turn", "5"),
        ("lab", "align", tmp_path, "--turn", "5"),
    ):
        found = CliRunner().invoke(cli.app, [str(word) for word in words])
        assert "No such" not in found.output, words
        assert found.exit_code != 2, found.output


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("trian",), "train"),
        (("data", "chek"), "check"),
        (("train", "--epoch", "3"), "`--epochs`"),
        (("calibrate", "--exclud", "x"), "`--exclude`"),
        (("run", "--confg", "x"), "`--config`"),
        (("--versoin",), "`--version`"),
        (("train", "--help-settings", "--detector", "patchcor"), "`patchcore`"),
        (("lab", "align", "x", "--detector", "padmi"), "`padim`"),
        (("train", "x", "--part", "p", "--out", "y", "--align", "rotat"), "`rotate`"),
        (("train", "x", "--part", "p", "--out", "y", "--precision", "in8"), "`int8`"),
        (("train", "x", "--part", "p", "--out", "y", "--residual", "ssmi"), "`ssim`"),
        (("history", "--config", "x", "--verdict", "INVALD"), "`INVALID`"),
        (("tune", "x", "--detectors", "padim,patchcor"), "`patchcore`"),
        (("lab", "table", "x", "--kinds", "padim,unett"), "`unet`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_misspelt_is_answered_with_what_was_meant(words: tuple[str, ...], meant: str) -> None:
    """A letter too few costs a second, not a look into the manual."""
    command = [sys.executable, "-m", "edge_inspector.cli", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.returncode == 64
    assert meant in found.stderr
    assert "did you mean" in found.stderr.lower()
