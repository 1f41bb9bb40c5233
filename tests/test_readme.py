"""What the prose says is so; `python tests/test_readme.py` writes its tables anew."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.main import get_command

from edge_inspector import settings
from edge_inspector.cli import app
from edge_inspector.inspection.model import Reason
from edge_inspector.wire.topics import TOPICS

ROOT = Path(__file__).parents[1]
FRONT = ROOT / "README.md"
ARCHITECTURE = ROOT / "edge_inspector" / "ARCHITECTURE.md"
PROSE = {
    path.relative_to(ROOT).as_posix(): path
    for path in (
        FRONT,
        ARCHITECTURE,
        *sorted((ROOT / "edge_inspector").rglob("README.md")),
        *(ROOT / folder / "README.md" for folder in ("configs", "nodered", "systemd", "tests")),
        ROOT / "nodered" / "OPERATOR.md",
    )
}
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", settings.Settings),
    ("`[[station]]`", settings.StationSettings),
    ('`[station.source]`, `kind = "folder"`', settings.FolderSettings),
    ('`[station.source]`, `kind = "capture"`', settings.CaptureSettings),
    ('`[station.source]`, `kind = "mqtt"`', settings.PoolSettings),
    ("`[[station.part]]`", settings.PartSettings),
    ("`[[station.part.view]]`", settings.ViewSettings),
    ("`[mqtt]`", settings.MqttSettings),
    ("`[mqtt.tls]`", settings.TlsSettings),
    ("`[ledger]`", settings.LedgerSettings),
    ("`[archive]`", settings.ArchiveSettings),
    ("`[metrics]`", settings.MetricsSettings),
    ("`[log]`", settings.LogSettings),
    ("The file of `edge-inspector camera`", settings.CameraSettings),
)


def topics_table() -> Iterator[str]:
    """Write what the daemon publishes."""
    yield "| topic | payload | QoS | retained | when |"
    yield "|---|---|---|---|---|"
    for topic in TOPICS:
        retained = "yes" if topic.retain else "no"
        yield f"| `{topic.name}` | {topic.payload} | {topic.qos} | {retained} | {topic.when} |"


def reasons_table() -> Iterator[str]:
    """Write the reasons' numbers, meanings and remedies."""
    yield "| number | verdict | meaning | what to do |"
    yield "|---|---|---|---|"
    for reason in Reason:
        yield f"| {reason.number} | {reason.verdict} | {reason.meaning} | {reason.remedy or '-'} |"


def settings_table() -> Iterator[str]:
    """Write every key of the settings file, section by section."""
    yield "| key | default | meaning |\n|---|---|---|"
    for section, model in SECTIONS:
        yield f"| **{section}** | | |"
        for name, field in model.model_fields.items():
            if name != "kind" and not _is_section(field.annotation):
                default = "needed" if field.is_required() else f"`{_shown(field.default)}`"
                yield f"| `{name}` | {default} | {field.description} |"


def _is_section(annotation: Any) -> bool:  # noqa: ANN401
    kinds = [annotation, *(inner for kind in get_args(annotation) for inner in (kind, *get_args(kind)))]
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)


def _shown(value: object) -> str:
    return "not set" if value is None else str(value) or "(empty)"


TABLES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "topics": ("edge_inspector/wire/README.md", topics_table),
    "reasons": ("edge_inspector/wire/README.md", reasons_table),
    "settings": ("configs/README.md", settings_table),
}
"""Each generated table: the file that holds it, and what writes its rows."""


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_the_code_s(name: str) -> None:
    """What the prose promises is what the program does; `python tests/test_readme.py` writes the table anew."""
    file, rows = TABLES[name]
    found = _marked(name).search(PROSE[file].read_text())

    assert found is not None
    assert found.group().split("-->\n", 1)[1].removesuffix("<!-- end -->").strip() == "\n".join(rows()).strip()


def test_the_front_page_is_short() -> None:
    """A technician reads it in one go."""
    text = FRONT.read_text()

    assert len(text.splitlines()) <= 200
    assert len(text.encode()) <= 16_000


def test_all_prose_is_short() -> None:
    """A third less than version 0.1 had; the changelog alone may grow."""
    pages = {page for path in PROSE.values() for page in path.parent.glob("*.md")} - {ROOT / "CHANGELOG.md"}

    assert sum(len(page.read_bytes()) for page in pages) <= 87_000


def test_the_architecture_is_short() -> None:
    """A map that needs a map is none; nor is a decision of more than six lines one."""
    text = ARCHITECTURE.read_text()
    (log,) = re.findall(r"\n## \d+\. Decision log\n(.*?)\n## ", text, re.DOTALL)
    decisions = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", log, re.DOTALL | re.MULTILINE)

    assert len(text.splitlines()) <= 350
    assert [int(number) for number, _ in decisions] == list(range(1, len(decisions) + 1))
    assert [number for number, words in decisions if len(words) > 6 * 120] == []


# Links


def _anchors(text: str) -> set[str]:
    """Return what GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(text: str) -> Iterator[str]:
    yield from re.findall(r"\]\((?!https?://)([^)\s]+)\)", text)


@pytest.mark.parametrize("name", PROSE)
def test_every_link_leads_somewhere(name: str) -> None:
    """Files, images and headings that are linked are there."""
    broken = []
    for link in _links(PROSE[name].read_text()):
        file, _, anchor = link.partition("#")
        target = (PROSE[name].parent / file).resolve() if file else PROSE[name]
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text())):
            broken.append(link)

    assert broken == []


def test_every_page_is_reached_from_the_front_page() -> None:
    """Prose that nobody links is prose that nobody reads."""
    reached = {(FRONT.parent / link.partition("#")[0]).resolve() for link in _links(FRONT.read_text())}

    assert {path for path in PROSE.values() if path != FRONT} <= reached


# Commands


@cache
def _commands() -> dict[str, frozenset[str]]:
    """Return the options of every command, those of two words too."""
    found = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for more, member in getattr(command, "commands", {"": command}).items():
            options = {option for each in member.params for option in (*each.opts, *each.secondary_opts)}
            found[f"{name} {more}".strip()] = frozenset({*options, "--help"})
    return found


def _code(text: str) -> Iterator[str]:
    """Yield each line of the fenced blocks and each span of code, without comments."""
    for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from (line.partition(" #")[0].removeprefix("$ ").strip() for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def _asked(words: list[str]) -> tuple[str, list[str]] | None:
    """Return the command that these words begin with, and the options in them."""
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return next(((name, options) for name in (" ".join(words[:2]), words[0]) if name in _commands()), None)


def _faults(code: str) -> Iterator[str]:
    if not re.match(r"(sudo )?edge-inspector [a-z]|[a-z]+( [a-z]+)? (\.\.\. )?--[a-z]", code):
        return
    words = shlex.split(code.removeprefix("sudo "))
    ours = words[0] == "edge-inspector"
    asked = _asked(words[ours:])
    if asked is None:
        if ours and words[1:] != ["COMMAND", "--help"]:
            yield f"no such command: {code}"
        return
    name, options = asked
    yield from (f"{name} has no {option}: {code}" for option in options if option not in _commands()[name])


@pytest.mark.parametrize("name", PROSE)
def test_every_command_exists(name: str) -> None:
    """Each command line of ours, whole or in a sentence, has a command and options that the program has."""
    assert [fault for code in _code(PROSE[name].read_text()) for fault in _faults(code)] == []


@pytest.mark.parametrize("name", PROSE)
def test_every_option_exists(name: str) -> None:
    """An option that stands by itself is one of a command, of the installer or of a script of the tests."""
    scripts = (ROOT / "systemd" / "install.sh", *(ROOT / "tests").rglob("*.py"))
    known = {option for options in _commands().values() for option in options}
    known |= {option for path in scripts for option in re.findall(r"--[a-z][a-z-]+", path.read_text())}
    spans = (code for code in _code(PROSE[name].read_text()) if code.startswith("--"))
    named = {option for code in spans for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", code)}

    assert named <= known


@pytest.mark.parametrize("name", PROSE)
def test_every_make_target_exists(name: str) -> None:
    """`make X` does something, and so does each variable beside it."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE)) | {".venv/demo"}
    variables = set(re.findall(r"^([A-Z_]+) [?:]?=", makefile, re.MULTILINE))
    for code in _code(PROSE[name].read_text()):
        found = re.match(r"make ([\w./-]+)((?: [A-Z_]+=\S+)*)", code)
        if found:
            assert found[1] in targets, code
            assert set(re.findall(r"([A-Z_]+)=", found[2])) <= variables, code


def test_the_front_page_names_every_command() -> None:
    """A command that the front page does not name is found by nobody."""
    named = set(_code(FRONT.read_text()))

    assert set(_commands()) - named == set()


# Paths


def _paths(text: str) -> set[str]:
    """Return the spans of code that are a path in the repository."""
    found = (re.match(r"((?:edge_inspector|tests|configs|systemd|nodered)/[\w./-]*)", code) for code in _code(text))
    return {path[1] for path in found if path is not None}


@pytest.mark.parametrize("name", PROSE)
def test_every_path_is_there(name: str) -> None:
    """Whoever follows the prose finds the file."""
    assert [path for path in sorted(_paths(PROSE[name].read_text())) if not (ROOT / path).exists()] == []


def test_the_tour_names_what_is_there() -> None:
    """Each of the seven places has the function that the tour names, at most three folders deep."""
    (tour,) = re.findall(r"\n## 1\. Tour\n(.*?)\n## ", ARCHITECTURE.read_text(), re.DOTALL)
    rows = re.findall(r"^\| [^|]+ \| `([\w/.]+\.py)`, `([\w.]+)`", tour, re.MULTILINE)

    assert len(rows) == 7
    assert [path for path, _ in rows if len(Path(path).parts) > 4] == []
    assert [f for path, f in rows if f"def {f.rpartition('.')[2]}(" not in (ROOT / path).read_text()] == []


@pytest.mark.parametrize("name", PROSE)
def test_every_module_that_is_named_is_there(name: str) -> None:
    """A file named without its folder is somewhere in the repository, too."""
    known = {path.name for top in ("edge_inspector", "tests") for path in (ROOT / top).rglob("*.py")}
    named = {found[1] for code in _code(PROSE[name].read_text()) if (found := re.fullmatch(r"(\w+\.py)", code))}

    assert named - known == set()


def test_every_test_that_the_architecture_names_is_there() -> None:
    """An invariant without its test is a wish."""
    names = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    (table,) = re.findall(r"\n## \d+\. Invariants[^\n]*\n(.*?)\n## ", ARCHITECTURE.read_text(), re.DOTALL)

    assert set(re.findall(r"`(test_\w+)`", table)) - names == set()


if __name__ == "__main__":
    for table_name, (file_name, write) in TABLES.items():
        body = "\n".join(write())
        text = PROSE[file_name].read_text()
        text = _marked(table_name).sub(lambda match, body=body: f"{match.group(1)}{body}\n{match.group(2)}", text)
        sys.stdout.write(f"{file_name}, {table_name}: {PROSE[file_name].write_text(text)} characters\n")
