"""Charts as inline SVG: drawn by us, so that they print sharply and need nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from edge_inspector.lab.report.markup import Markup

_WIDTH, _HEIGHT = 340, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 40
_BINS = 36


@dataclass(frozen=True, slots=True)
class Axis:
    """What is drawn along one side, from `low` to `high`."""

    label: str
    low: float
    high: float

    def ticks(self) -> tuple[float, ...]:
        """Return four to eight round values."""
        span = self.high - self.low
        step = 10 ** math.floor(math.log10(span / 4))
        step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return tuple(k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1))

    def share(self, value: float) -> float:
        """Return how far along `value` lies, 0 to 1."""
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Line:
    """Points that are joined, and the style they are drawn in: `main`, `second` or `chance`."""

    points: Sequence[tuple[float, float]]
    style: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The two axes of a chart; turns values into places."""

    x: Axis
    y: Axis

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a value lies in the drawing."""
        across, up = self.x.share(x), self.y.share(y)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _TOP + (1 - up) * (_HEIGHT - _TOP - _BOTTOM)

    def drawn(self, name: str, *shapes: str) -> Markup:
        """Return the chart: grid and labels, then the shapes."""
        label = escape(name, quote=True)
        head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        return Markup(head + self._grid() + "".join(shapes) + "</svg>")

    def _grid(self) -> str:
        left, bottom = self.place(self.x.low, self.y.low)
        right, top = self.place(self.x.high, self.y.high)
        parts = [f'<path class="axis" d="M{left},{bottom:.1f}H{right}"/>']
        for tick in self.x.ticks():
            x = self.place(tick, self.y.low)[0]
            parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14:.1f}" text-anchor="middle">{tick:.4g}</text>')
        for tick in self.y.ticks():
            y = self.place(self.x.low, tick)[1]
            parts.append(f'<path class="grid" d="M{left},{y:.1f}H{right}"/>')
            parts.append(
                f'<text class="tick" x="{left - 6}" y="{y + 3.5:.1f}" text-anchor="end">{abs(tick):.4g}</text>'
            )
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        parts.append(
            f'<text class="label" x="{middle_x}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(self.x.label)}</text>'
            f'<text class="label" transform="translate(11 {middle_y}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y.label)}</text>"
        )
        return "".join(parts)

    def line(self, line: Line) -> str:
        """Return a line through its points."""
        points = " ".join("{:.1f},{:.1f}".format(*self.place(x, y)) for x, y in line.points)
        return f'<polyline class="line {line.style}" points="{points}"/>'

    def dot(self, x: float, y: float, style: str) -> str:
        """Return a point that is marked."""
        across, down = self.place(x, y)
        return f'<circle class="dot {style}" cx="{across:.1f}" cy="{down:.1f}" r="{4.5 if style == "main" else 2.4}"/>'

    def upright(self, value: float, words: str) -> str:
        """Return a limit on the x axis, with its name."""
        x, bottom = self.place(value, self.y.low)
        text = f'<text class="note" x="{x + 4:.1f}" y="{_TOP + 9}">{escape(words)}</text>'
        return f'<path class="limit" d="M{x:.1f},{_TOP}V{bottom:.1f}"/>{text}'

    def level(self, value: float, words: str) -> str:
        """Return a limit on the y axis, with its name."""
        x, y = self.place(self.x.high, value)
        text = f'<text class="note" x="{x - 2:.1f}" y="{y - 5:.1f}" text-anchor="end">{escape(words)}</text>'
        return f'<path class="limit" d="M{_LEFT},{y:.1f}H{x:.1f}"/>{text}'

    def bar(self, low: float, high: float, value: float, style: str) -> str:
        """Return a bar from 0 to `value`, up or down."""
        (left, zero), (right, end) = self.place(low, 0), self.place(high, value)
        top, height = min(zero, end), abs(end - zero)
        return f'<rect class="bar {style}" x="{left + 0.5:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" height="{height:.1f}"/>'  # noqa: E501


def curve_chart(name: str, x: str, y: str, lines: Sequence[Line], point: tuple[float, float]) -> Markup:
    """Return a curve of two shares, with the bundle's own point marked."""
    frame = Frame(Axis(x, 0, 1), Axis(y, 0, 1))
    return frame.drawn(name, *map(frame.line, lines), frame.dot(*point, "main"))


def score_chart(good: Sequence[float], defective: Sequence[float], limits: Sequence[tuple[float, str]]) -> Markup:
    """Return how many good parts (up) and defective ones (down) have each score; the last bar holds all beyond."""
    scores = np.r_[np.asarray(good, float), np.asarray(defective, float)]
    top = float(min(max(1.5, scores.max()), max(3.0, np.quantile(scores, 0.9) * 1.1)))
    edges = np.linspace(0, top, _BINS + 1)
    up, down = (np.histogram(np.clip(part, 0, top), edges)[0] for part in (good, defective))
    frame = Frame(
        Axis("score (level / threshold)", 0, top), Axis("parts", -float(max(down.max(), 1)), float(max(up.max(), 1)))
    )
    bars = [
        frame.bar(edges[place], edges[place + 1], sign * count, style)
        for counts, sign, style in ((up, 1, "good"), (down, -1, "bad"))
        for place, count in enumerate(counts)
        if count
    ]
    lines = [frame.upright(value, words) for value, words in limits]
    zero = frame.line(Line(((0, 0), (top, 0)), "zero"))
    return frame.drawn("Scores of good and of defective parts", *bars, zero, *lines)


def level_chart(levels: Sequence[float], limits: Sequence[tuple[float, str]]) -> Markup:
    """Return the levels of the calibration's parts, lowest first, beside the limits that were set from them."""
    top = max([*levels, *(value for value, _ in limits)]) * 1.12
    frame = Frame(Axis("good parts, sorted by level", 0, len(levels) + 1), Axis("level", 0, top))
    dots = [frame.dot(place, level, "good") for place, level in enumerate(sorted(levels), start=1)]
    return frame.drawn(
        "Levels of the good parts that set the threshold", *dots, *(frame.level(*limit) for limit in limits)
    )


def training_chart(name: str, x: str, steps: Sequence[float], curves: Sequence[Sequence[float]]) -> Markup:
    """Return one quantity over the training; the second curve is the images that did not train."""
    values = [value for curve in curves for value in curve]
    low, high = min(0.0, *values), max(values)
    frame = Frame(Axis(x, steps[0], max(steps[-1], steps[0] + 1)), Axis(name, low, high if high > low else low + 1))
    styles = ("main", "second", "chance")
    lines = (Line(tuple(zip(steps, curve, strict=True)), style) for curve, style in zip(curves, styles, strict=False))
    return frame.drawn(name, *map(frame.line, lines))
