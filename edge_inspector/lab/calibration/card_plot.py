"""The plot of a calibration: the score of each good part, largest first, beside the limits. Drawn by hand as SVG."""

from xml.sax.saxutils import escape

from edge_inspector.bundle import CalibrationCard

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 44, 40
_INK, _FAINT, _LIMIT, _PART = "#222", "#ddd", "#c62828", "#1565c0"


def draw_card(card: CalibrationCard, review: float | None = None) -> bytes:
    """Return an SVG image of the calibration scores with the threshold and the bound in words.

    Args:
        card: with levels, largest first.
        review: the review limit as a level, where the recipe has one.
    """
    scores = [level / card.threshold for level in card.levels]
    top = 1.1 * max(1.0, *scores)
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(place: int) -> float:
        return _LEFT + width * (place + 0.5) / len(scores)

    def down(score: float) -> float:
        return _TOP + height * (1 - score / top)

    dots = "".join(
        f'<circle cx="{across(place):.1f}" cy="{down(score):.1f}" r="2.5" fill="{_LIMIT if score >= 1 else _PART}"/>'
        for place, score in enumerate(scores)
    )
    limits = [("threshold", 1.0)] + ([] if review is None else [("review", review / card.threshold)])
    body = (
        "".join(_grid_line(score, down(score)) for score in _ticks(top)),
        dots,
        *(_limit(name, down(score)) for name, score in limits),
        _text(_LEFT, 16, card.in_words(), bold=True),
        _text(_LEFT, 32, _allowed(card)),
        _text(_LEFT, _HEIGHT - 8, f"{len(scores)} good parts, largest score first"),
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
    style = 'font-family="sans-serif" font-size="10"'
    return f'{head} {style}><rect width="100%" height="100%" fill="#fff"/>{"".join(body)}</svg>'.encode()


def _allowed(card: CalibrationCard) -> str:
    if card.estimated:
        return f"Of {card.groups} good parts, {_counted(card)} above the limit"
    return f"{card.exceedances} of {card.groups} may be above the threshold; {_counted(card)}"


def _counted(card: CalibrationCard) -> str:
    above = sum(level >= card.threshold for level in card.levels)
    elsewhere = card.groups - len(card.levels)
    return f"{above} are" + (f", {elsewhere} more are INVALID or excluded" if elsewhere else "")


def _ticks(top: float) -> tuple[float, ...]:
    """Return about five round scores from 0 to `top`."""
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 1e9) if top / step <= 6)
    return tuple(step * place for place in range(int(top / step) + 1))


def _grid_line(score: float, y: float) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_FAINT}"/>'
    return line + _text(_LEFT - 34, y + 3, f"{score:g}")


def _limit(name: str, y: float) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_LIMIT}" '
    return line + 'stroke-dasharray="6 4"/>' + _text(_WIDTH - _RIGHT - 60, y - 4, name)


def _text(x: float, y: float, words: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{_INK}"{weight}>{escape(words)}</text>'
