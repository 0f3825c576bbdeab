"""The small plot of probability against severity, as inline SVG: plotly.js would add 4.6 MB to the first sight of the page."""

from collections.abc import Mapping

from normzoo.app.components.html import render
from normzoo.inference.perturbation import ALL_SEVERITIES, SeverityCurve

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
    return render(
        "severity.html",
        curves=list(curves.values()),
        severity=severity,
        steps=ALL_SEVERITIES,
        x=lambda step: round(_x(step), 1),
        y=lambda share: round(_y(share), 1),
        column=(RIGHT - LEFT) / len(ALL_SEVERITIES),
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        row_height=ROW_HEIGHT,
        shapes=_SHAPES,
        dashes=_DASHES,
    )


def _x(severity: int) -> float:
    return LEFT + (RIGHT - LEFT) * (severity + 0.5) / len(ALL_SEVERITIES)


def _y(probability: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * probability
