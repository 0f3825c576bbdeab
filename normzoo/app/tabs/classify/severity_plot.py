"""The small plot of probability against severity, as inline SVG: plotly.js would add 4.6 MB to the first sight of the page."""

import html
from collections.abc import Mapping

from normzoo.inference.perturbation import ALL_SEVERITIES, SeverityCurve
from normzoo.plotting.style import style_of

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 40, 280, 14, 212  # of the plot itself; the values stand on its right
ROW_HEIGHT = 20

# Shapes of radius 4 around the origin, by the palette's names.
_SHAPES = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "square": "M-3.5 -3.5h7v7h-7Z",
    "diamond": "M0 -5L5 0L0 5L-5 0Z",
    "triangle-up": "M0 -4.5L4.5 3.5H-4.5Z",
    "triangle-down": "M0 4.5L4.5 -3.5H-4.5Z",
    "cross": "M-1.5 -4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z",
    "x": "M-4 -2.5L-2.5 -4L0 -1.5L2.5 -4L4 -2.5L1.5 0L4 2.5L2.5 4L0 1.5L-2.5 4L-4 2.5L-1.5 0Z",
    "star": "M0 -5L1.5 -1.6L5 -1.5L2.3 .8L3.1 4.2L0 2.3L-3.1 4.2L-2.3 .8L-5 -1.5L-1.5 -1.6Z",
    "pentagon": "M0 -4.8L4.6 -1.5L2.8 3.9H-2.8L-4.6 -1.5Z",
    "hexagon": "M-2.4 -4.1h4.8L4.8 0L2.4 4.1h-4.8L-4.8 0Z",
}
_DASHES = {"solid": "none", "dash": "6 4", "dashdot": "6 3 1 3", "longdash": "10 4"}


def plot(curves: Mapping[str, SeverityCurve], severity: int) -> str:
    """How probable each network finds its clean answer, at each severity.

    Beside it stand the values at the chosen severity, or at the one under the pointer, finger or keyboard focus.
    """
    lines = "".join(_line(curve) for curve in curves.values())
    columns = "".join(_column(curves, step, is_current=step == severity) for step in ALL_SEVERITIES)
    words = "Probability of the class that each network finds most probable in the photo as it is, against severity"
    return (
        f'<figure class="severity"><figcaption>Probability of the clean answer</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="group" aria-label="{words}">{_axes()}{lines}{columns}</svg></figure>'
    )


def _x(severity: int) -> float:
    return LEFT + (RIGHT - LEFT) * (severity + 0.5) / len(ALL_SEVERITIES)


def _y(probability: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * probability


def _axes() -> str:
    levels = "".join(
        f'<path class="grid" d="M{LEFT} {_y(share):g}H{RIGHT}"/><text x="{LEFT - 5}" y="{_y(share) + 4:g}" text-anchor="end">'
        f"{100 * share:g}%</text>"
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    ticks = "".join(f'<text x="{_x(step):g}" y="{BOTTOM + 16}" text-anchor="middle">{step}</text>' for step in ALL_SEVERITIES)
    title = f'<text x="{(LEFT + RIGHT) / 2:g}" y="{BOTTOM + 33}" text-anchor="middle">Severity</text>'
    return f'<g aria-hidden="true">{levels}{ticks}{title}</g>'


def _line(curve: SeverityCurve) -> str:
    style = style_of(curve.variant)
    points = [(round(_x(step), 1), round(_y(value), 1)) for step, value in enumerate(curve.probabilities)]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    marks = "".join(f'<path d="{_SHAPES[style.marker]}" transform="translate({x:g} {y:g})"/>' for x, y in points)
    return (
        f'<g class="line" style="--variant: {style.colour}" aria-hidden="true"><path class="stroke" '
        f'stroke-dasharray="{_DASHES[style.dash]}" d="{path}"/>{marks}</g>'
    )


def _column(curves: Mapping[str, SeverityCurve], step: int, is_current: bool) -> str:
    """A severity: where to point at, and what is told there."""
    width = (RIGHT - LEFT) / len(ALL_SEVERITIES)
    told = ", ".join(
        f"{html.escape(style_of(variant).name)} {html.escape(curve.label)} {100 * curve.probabilities[step]:.2f}%"
        for variant, curve in curves.items()
    )
    rows = "".join(_value(variant, curve.probabilities[step], place) for place, (variant, curve) in enumerate(curves.items()))
    return (
        f'<g class="column{" current" if is_current else ""}" tabindex="0" role="img" aria-label="Severity {step}: {told}">'
        f'<rect x="{_x(step) - width / 2:g}" y="{TOP}" width="{width:g}" height="{BOTTOM - TOP}"/>'
        f'<g class="told"><text x="{RIGHT + 10}" y="{TOP + 12}" class="title">Severity {step}</text>{rows}</g></g>'
    )


def _value(variant: str, probability: float, place: int) -> str:
    """A line of what is told, which is the legend as well."""
    style = style_of(variant)
    return (
        f'<g style="--variant: {style.colour}" transform="translate({RIGHT + 16} {TOP + 18 + ROW_HEIGHT * (place + 1)})">'
        f'<path d="{_SHAPES[style.marker]}"/><text x="9" y="4">{html.escape(style.name)}</text>'
        f'<text x="{WIDTH - RIGHT - 18}" y="4" text-anchor="end">{100 * probability:.2f}%</text></g>'
    )
