"""README's tables are the code's: `python tests/test_readme.py` writes them anew, the test compares."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.main import get_command

from edge_inspector import settings
from edge_inspector.cli import app
from edge_inspector.inspection.model import Reason
from edge_inspector.wire.topics import TOPICS

README = Path(__file__).parents[1] / "README.md"
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", settings.Settings),
    ("[[station]]", settings.StationSettings),
    ("[station.source] kind = folder", settings.FolderSettings),
    ("[station.source] kind = capture", settings.CaptureSettings),
    ("[station.source] kind = mqtt", settings.PoolSettings),
    ("[[station.part]]", settings.PartSettings),
    ("[[station.part.view]]", settings.ViewSettings),
    ("[mqtt]", settings.MqttSettings),
    ("[mqtt.tls]", settings.TlsSettings),
    ("[ledger]", settings.LedgerSettings),
    ("[archive]", settings.ArchiveSettings),
    ("[metrics]", settings.MetricsSettings),
    ("[log]", settings.LogSettings),
    ("`camera`'s file", settings.CameraSettings),
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
    """Write every key of the settings file."""
    yield "| section | key | default | meaning |"
    yield "|---|---|---|---|"
    for section, model in SECTIONS:
        for name, field in model.model_fields.items():
            if not _is_section(field.annotation):
                default = "needed" if field.is_required() else f"`{_shown(field.default)}`"
                yield f"| {f'`{section}`' if section else ''} | `{name}` | {default} | {field.description} |"


def commands_table() -> Iterator[str]:
    """Write the commands."""
    yield "| command | does |"
    yield "|---|---|"
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for more, member in getattr(command, "commands", {"": command}).items():
            yield f"| `{f'{name} {more}'.strip()}` | {member.help.split('.')[0]} |"


def _is_section(annotation: Any) -> bool:  # noqa: ANN401
    kinds = [annotation, *(inner for kind in get_args(annotation) for inner in (kind, *get_args(kind)))]
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)


def _shown(value: object) -> str:
    return "not set" if value is None else str(value) or "(empty)"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "topics": topics_table,
    "reasons": reasons_table,
    "settings": settings_table,
    "commands": commands_table,
}


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_the_code_s(name: str) -> None:
    """What README promises is what the program does."""
    found = _marked(name).search(README.read_text())
    table = "\n".join(TABLES[name]())

    assert found is not None
    assert found.group().split("-->\n", 1)[1].removesuffix("<!-- end -->").strip() == table


def test_every_picture_is_there() -> None:
    """No broken picture on the first page."""
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text())

    assert pictures
    assert all((README.parent / picture).is_file() for picture in pictures)


if __name__ == "__main__":
    text = README.read_text()
    for table_name, rows in TABLES.items():
        body = "\n".join(rows())
        text = _marked(table_name).sub(lambda match, body=body: f"{match.group(1)}{body}\n{match.group(2)}", text)
    sys.stdout.write(f"{README.name}: {README.write_text(text)} characters\n")
