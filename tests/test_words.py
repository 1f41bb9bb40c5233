"""One word for one thing: the retired words are in no code and no prose (the glossary of the house)."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edge_inspector"
NODERED = ROOT / "nodered"
RETIRED = re.compile(
    r"(?<![a-z])(teach\w*|taught|pictures?|planted|lessons?|suspects?|keepsakes?|backbones? that knows?|taken out"
    r"|training data's budget|an synthetic|a outlier|a image|image image)(?![a-z])",
    re.IGNORECASE,
)
"""Train, image, synthetic, training data, outlier, archived image, random weights, excluded; and odd grammar."""
RETIRED_IN_CODE = re.compile(r"\b(anew|promise[sd]?)\b", re.IGNORECASE)
"""Again; bound on the false-reject rate."""
ALLOWED = {
    r'"(pictures?|planted|suspects)"': "published JSON keys, keys of bundles, inputs of ONNX graphs, saved files",
    r"\bno_picture\b": "an MQTT user property, and the dashboard's label of that name",
    r"-pictures\b": "the topic beside the root that cameras send to, its client ids, the option of version 0.1",
    r"\bpictures/": "the folder of the dashboard's screenshots",
}
"""What keeps its old name, because somebody outside relies on it."""
CLASSES = {
    *("Lesson", "Order", "Material", "Album", "Desk", "Standing", "Chain", "Keepsake", "Shelf", "Draft", "Wish"),
    *("Suspect", "TakenOut", "Drift", "Planted", "Picture", "AlignWish", "UnitWish", "PretrainOrder", "MovedOrder"),
}
MODULES = {
    *("album", "chain", "drift", "draft", "lesson", "material", "order", "planted_score", "standing", "streak"),
    *("suspects", "taught", "usual"),
}
CODE = sorted(PACKAGE.rglob("*.py"))
FILES = sorted(
    path
    for path in (
        *CODE,
        *PACKAGE.rglob("*.st"),
        *PACKAGE.rglob("*.md"),
        *PACKAGE.rglob("*.css"),
        *(ROOT / "configs").rglob("*"),
        *(ROOT / "systemd").rglob("*"),
        *(ROOT / name for name in ("README.md", "Makefile", "tests/README.md", "nodered/README.md")),
    )
    if path.is_file() and path.suffix not in (".png", ".jpg")
)


def retired_in(text: str) -> Iterator[str]:
    """Yield each line that holds a retired word, with its number; what is allowed is passed over."""
    for number, line in enumerate(text.splitlines(), 1):
        left = line
        for allowed in ALLOWED:
            left = re.sub(allowed, "", left)
        if RETIRED.search(left):
            yield f"{number}: {line.strip()}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_retired_words_are_gone(path: Path) -> None:
    """Whoever learned the new word finds it everywhere."""
    assert list(retired_in(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_code_says_bound_and_again(path: Path) -> None:
    """A rate that is measured is a bound, not a promise."""
    assert RETIRED_IN_CODE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Teach a part", 1),
        ("taken_picture = 1", 1),
        ("a Lesson", 1),
        ('print_json({"pictures": 1})', 0),
        ("`{root}-pictures/{pool}`", 0),
        ("a photograph is trained", 0),
    ],
)
def test_a_retired_word_is_seen(text: str, found: int) -> None:
    """In any case and beside an underscore; the allowed names are not."""
    assert len(list(retired_in(text))) == found


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_retired_names_are_gone(path: Path) -> None:
    """No class and no file has a name that its reader must look up."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} & CLASSES == set()
    assert path.stem not in MODULES


def test_every_exception_is_needed() -> None:
    """An allowed name that nobody uses any more goes."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (*FILES, NODERED / "README.md"))

    assert [allowed for allowed in ALLOWED if not re.search(allowed, text)] == []


def labels(table: object) -> Iterator[str]:
    """Yield every text of a language."""
    if isinstance(table, dict):
        for value in table.values():
            yield from labels(value)
    else:
        yield str(table)


def test_the_dashboard_speaks_the_same_words() -> None:
    """Its labels, and what stands between the tags of its pages."""
    english = json.loads((NODERED / "labels.json").read_text(encoding="utf-8"))["en"]
    pages = [path.read_text(encoding="utf-8") for path in sorted((NODERED / "pages").glob("*.vue"))]
    templates = [page.rpartition("</template>")[0] for page in pages]
    shown = [text for page in templates for text in re.findall(r">([^<>{}]+)<", page)]

    assert list(retired_in("\n".join([*labels(english), *shown]))) == []
