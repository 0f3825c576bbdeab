"""Style of a variant wherever it appears: its short name, colour, marker and dash."""

import zlib
from dataclasses import dataclass

from normzoo.nn.named_norms import OWN_NORMS
from normzoo.nn.registry import NORM_LAYERS
from normzoo.variants import Variant

#: Okabe and Ito's colours, which colour-blind people can tell apart, with grey for black: it shows on dark pages too.
COLOURS = ("#7f7f7f", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
#: Names that charts and figures translate to their own.
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
#: For norms that the zoo has not: none of the six's, after Paul Tol's muted scheme.
OTHER_COLOURS = ("#56b4e9", "#f0e442", "#aa4499", "#44aa99", "#999933")
OTHER_MARKERS = ("x", "star", "pentagon", "hexagon")


@dataclass(frozen=True)
class Style:
    """Colour is never the only difference between two lines: the marker or the dash differs as well."""

    name: str  # "BN"
    colour: str  # "#rrggbb"
    marker: str  # one of MARKERS or OTHER_MARKERS
    dash: str  # solid for the zoo's norms as the recipe trains them, else dash, dashdot or longdash


#: In the key of a network of another model set than the one that is shown; its title follows.
ELSEWHERE = " @ "


def style_of(variant: str) -> Style:
    """Return the style of a variant; by its name alone, so that it is the same on every page and in every report.

    A norm of the zoo takes colour and marker by its place in `NORM_LAYERS`; one that it has not, from others, by its name:
    whether its code is at hand does not count. Another training of it, such as `bn-bs8` or
    `torch-bn`, takes its marker and a lighter or darker shade of its colour, dashed.
    """
    variant, _, title = variant.partition(ELSEWHERE)
    if title:
        style, dashes = style_of(variant), ("dash", "dashdot", "longdash")
        return Style(f"{style.name} · {title}", style.colour, style.marker, dashes[zlib.crc32(title.encode()) % len(dashes)])
    parsed = Variant.parse(variant)
    keys = [key for key in NORM_LAYERS if key not in OWN_NORMS]
    if parsed.norm in keys:
        place = keys.index(parsed.norm)
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    else:
        number = zlib.crc32(parsed.norm.encode())
        colour, marker = OTHER_COLOURS[number % len(OTHER_COLOURS)], OTHER_MARKERS[number // 7 % len(OTHER_MARKERS)]
    if parsed.is_reference:
        return Style(parsed.short_name, _mix(colour, "#ffffff", 0.2), marker, "longdash")
    if parsed.batch_size is None:
        return Style(parsed.short_name, colour, marker, "solid")
    if parsed.batch_size > 32:
        return Style(parsed.short_name, _mix(colour, "#000000", 0.3), marker, "dashdot")
    return Style(parsed.short_name, _mix(colour, "#ffffff", 0.35), marker, "dash")


def _mix(colour: str, other: str, share: float) -> str:
    """A colour with a share of another in it."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round((1 - share) * own + share * foreign) for own, foreign in pairs).hex()
