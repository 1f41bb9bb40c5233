"""Text into HTML: everything that comes from outside is escaped here, and only here."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

import cv2

from edge_inspector.inspection.overlays import ColourImage
from edge_inspector.lab.evaluation.metrics import Rate

_QUALITY = 88


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that is safe to put into a page as it stands."""

    html: str


Content: TypeAlias = Markup | str | int


def render(content: Content) -> str:
    """Return the HTML of markup, and of anything else as escaped text."""
    return content.html if isinstance(content, Markup) else escape(str(content))


def tag(name: str, *contents: Content, **attributes: str) -> Markup:
    """Return an element; `class_` is the attribute `class`, underscores inside become hyphens."""
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value, quote=True)}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{named}>{''.join(map(render, contents))}</{name}>")


def join(contents: Iterable[Content]) -> Markup:
    """Return contents one after the other."""
    return Markup("".join(map(render, contents)))


def section(title: str, lead: str, *contents: Content) -> Markup:
    """Return a section with its heading and one sentence that says how to read it."""
    return tag("section", tag("h2", title), tag("p", lead, class_="lead"), *contents)


def figure(content: Content, caption: Content, **attributes: str) -> Markup:
    """Return a figure with its caption."""
    return tag("figure", content, tag("figcaption", caption), **attributes)


def table(head: Sequence[Content], rows: Iterable[Sequence[Content]], **attributes: str) -> Markup:
    """Return a table; the first cell of a row names it."""
    header = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    return tag("div", tag("table", tag("thead", header), tag("tbody", *body), **attributes), class_="table")


def facts(rows: Iterable[tuple[str, Content]]) -> Markup:
    """Return names with their values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in rows))


def rate(found: Rate) -> Markup:
    """Return a rate with its counts and bounds."""
    bounds = f"{found.hits} of {found.parts}; {found.low:.1%} to {found.high:.1%}"
    return join([f"{found.value:.1%} ", tag("small", bounds)])


def number(value: float | None, digits: int = 3) -> str:
    """Return a figure, or a dash where it is not defined."""
    return "-" if value is None else f"{value:.{digits}f}"


def image(pixels: ColourImage, alternative: str) -> Markup:
    """Return an image that is kept inside the page."""
    data = base64.b64encode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()).decode()
    height, width = pixels.shape[:2]
    source = f"data:image/jpeg;base64,{data}"
    return Markup(f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alternative, quote=True)}">')
