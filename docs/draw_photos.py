"""Draws the 32 pictures of normzoo/app/photos/drawn: eight things, four times each. Run: python docs/draw_photos.py FOLDER."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE, SCALE = 128, 4  # drawn larger, then reduced: no jagged edges
Colour = tuple[int, int, int]


class Sheet:
    """A square canvas with coordinates from 0 to 1, and the dice for it."""

    def __init__(self, seed: int) -> None:
        self.dice = np.random.default_rng(seed)
        self.image = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE))
        self.pen = ImageDraw.Draw(self.image)

    def between(self, low: float, high: float) -> float:
        return float(self.dice.uniform(low, high))

    def shade(self, colour: Colour, by: float = 18) -> Colour:
        """Nearly the same colour."""
        return tuple(int(np.clip(value + self.between(-by, by), 0, 255)) for value in colour)  # type: ignore[return-value]

    def at(self, *points: float) -> list[float]:
        return [point * SIDE * SCALE for point in points]

    def ground(self, top: Colour, bottom: Colour) -> None:
        """Fill with a vertical gradient."""
        steps = np.linspace(0, 1, SIDE * SCALE)[:, None, None]
        rows = np.array(self.shade(top)) * (1 - steps) + np.array(self.shade(bottom)) * steps
        self.image.paste(Image.fromarray(np.broadcast_to(rows, (SIDE * SCALE, SIDE * SCALE, 3)).astype(np.uint8)))

    def disc(self, x: float, y: float, radius: float, colour: Colour, high: float = 0.0) -> None:
        """A disc; with `high` a ball, lit from above on the left."""
        self.pen.ellipse(self.at(x - radius, y - radius, x + radius, y + radius), fill=colour)
        for part in np.linspace(0.9, 0.1, 12) if high else ():
            lighter = tuple(int(value + (255 - value) * high * (1 - part)) for value in colour)
            left, up, r = x - radius * 0.3 * (1 - part), y - radius * 0.35 * (1 - part), radius * part
            self.pen.ellipse(self.at(left - r, up - r, left + r, up + r), fill=lighter)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        self.pen.polygon([tuple(self.at(*point)) for point in points], fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.pen.rectangle(self.at(left, top, right, bottom), fill=colour)

    def line(self, points: list[float], colour: Colour, width: float) -> None:
        self.pen.line(self.at(*points), fill=colour, width=int(width * SIDE * SCALE))

    def finish(self) -> Image.Image:
        """Reduced, a little soft and grainy as a photo is."""
        small = self.image.filter(ImageFilter.GaussianBlur(SCALE * 0.6)).resize((SIDE, SIDE), Image.Resampling.BOX)
        grain = self.dice.normal(0, 4, (SIDE, SIDE, 1))
        return Image.fromarray((np.asarray(small) + grain).clip(0, 255).astype(np.uint8))


def orange(s: Sheet) -> None:
    s.ground((235, 232, 225), (200, 190, 175))
    for _ in range(int(s.dice.integers(1, 4))):
        x, y, r = s.between(0.35, 0.65), s.between(0.4, 0.62), s.between(0.24, 0.32)
        s.pen.ellipse(s.at(x - r, y + r * 0.75, x + r, y + r * 1.15), fill=(150, 138, 120))
        s.disc(x, y, r, s.shade((238, 130, 20)), high=0.45)
        s.disc(x + 0.02, y - r * 0.6, 0.018, (90, 110, 40))


def lighthouse(s: Sheet) -> None:
    s.ground((95, 150, 215), (200, 222, 240))
    s.box(0, 0.8, 1, 1, s.shade((50, 95, 130)))
    x, w = s.between(0.4, 0.6), s.between(0.07, 0.1)
    s.polygon([(x - 0.35, 0.9), (x + 0.35, 0.9), (x + 0.2, 0.76), (x - 0.22, 0.77)], s.shade((95, 110, 70)))
    s.polygon([(x - w, 0.8), (x + w, 0.8), (x + w * 0.65, 0.27), (x - w * 0.65, 0.27)], (242, 240, 235))
    for k in range(int(s.dice.integers(0, 4))):
        y = 0.36 + 0.15 * k
        s.polygon([(x - w * 0.8, y + 0.07), (x + w * 0.8, y + 0.07), (x + w * 0.76, y), (x - w * 0.76, y)], (190, 40, 40))
    s.box(x - w, 0.25, x + w, 0.28, (60, 60, 65))
    s.box(x - w * 0.5, 0.16, x + w * 0.5, 0.25, (250, 235, 160))
    s.polygon([(x - w * 0.7, 0.165), (x + w * 0.7, 0.165), (x, 0.09)], (150, 35, 35))


def school_bus(s: Sheet) -> None:
    s.ground((175, 205, 230), (205, 215, 215))
    s.box(0, 0.72, 1, 1, s.shade((105, 105, 108)))
    left, top = s.between(0.06, 0.14), s.between(0.26, 0.34)
    yellow = s.shade((250, 185, 20), 8)
    s.pen.rounded_rectangle(s.at(left, top, left + 0.7, 0.76), radius=int(SIDE * SCALE * 0.03), fill=yellow)
    s.pen.rounded_rectangle(s.at(left + 0.62, top + 0.2, left + 0.84, 0.76), radius=int(SIDE * SCALE * 0.03), fill=yellow)
    for k in range(6):
        s.box(left + 0.05 + 0.105 * k, top + 0.07, left + 0.135 + 0.105 * k, top + 0.18, (45, 60, 80))
    s.box(left, top + 0.26, left + 0.83, top + 0.285, (30, 30, 30))
    s.box(left, top + 0.34, left + 0.83, top + 0.355, (30, 30, 30))
    for x in (left + 0.17, left + 0.66):
        s.disc(x, 0.77, 0.085, (25, 25, 25))
        s.disc(x, 0.77, 0.04, (150, 150, 150))


def goldfish(s: Sheet) -> None:
    s.ground((30, 90, 110), (15, 50, 60))
    for _ in range(5):
        x = s.between(0, 1)
        s.line([x, 1, x + s.between(-0.1, 0.1), s.between(0.5, 0.75)], s.shade((40, 120, 60)), 0.02)
    y, flip = s.between(0.42, 0.58), s.between(0.9, 1.1)
    body = s.shade((245, 120, 25))
    s.polygon([(0.62, y), (0.92, y - 0.2 * flip), (0.84, y), (0.93, y + 0.22 * flip)], s.shade((250, 150, 60)))
    s.polygon([(0.38, y - 0.12), (0.5, y - 0.27), (0.62, y - 0.1)], s.shade((250, 145, 55)))
    s.polygon([(0.42, y + 0.12), (0.5, y + 0.26), (0.56, y + 0.1)], s.shade((250, 145, 55)))
    s.pen.ellipse(s.at(0.15, y - 0.17, 0.7, y + 0.17), fill=body)
    s.pen.ellipse(s.at(0.2, y - 0.02, 0.62, y + 0.15), fill=s.shade((252, 180, 90)))
    s.disc(0.25, y - 0.05, 0.035, (245, 245, 235))
    s.disc(0.25, y - 0.05, 0.02, (15, 15, 15))


def umbrella(s: Sheet) -> None:
    s.ground((165, 175, 190), (120, 130, 140))
    colour = [(200, 40, 50), (40, 80, 180), (230, 190, 40), (40, 140, 90)][int(s.dice.integers(4))]
    x, y, r = s.between(0.45, 0.55), s.between(0.5, 0.58), s.between(0.36, 0.42)
    s.line([x, y - r, x, 0.9], (70, 50, 35), 0.02)
    s.pen.arc(s.at(x - 0.1, 0.83, x, 0.95), 0, 180, fill=(70, 50, 35), width=int(0.02 * SIDE * SCALE))
    s.pen.pieslice(s.at(x - r, y - r, x + r, y + r), 180, 360, fill=colour)
    dark = tuple(int(0.72 * value) for value in colour)
    s.pen.pieslice(s.at(x - r * 0.42, y - r, x + r * 0.42, y + r), 180, 360, fill=dark)
    for k in range(4):
        left = x - r + k * r / 2
        s.pen.pieslice(s.at(left, y - 0.06, left + r / 2, y + 0.06), 180, 360, fill=s.image.getpixel((4, 4)))


def espresso(s: Sheet) -> None:
    s.ground((120, 85, 55), (90, 60, 40))
    x, y, r = s.between(0.46, 0.54), s.between(0.46, 0.54), s.between(0.28, 0.33)
    s.disc(x, y, r * 1.45, (225, 222, 215))
    s.disc(x, y, r * 1.3, (245, 243, 238))
    s.pen.ellipse(s.at(x + r * 0.8, y - 0.08, x + r * 1.45, y + 0.08), outline=(250, 250, 246), width=int(0.035 * SIDE * SCALE))
    s.disc(x, y, r, (252, 251, 248))
    s.disc(x, y, r * 0.86, s.shade((105, 60, 25), 8))
    s.disc(x - 0.02, y - 0.01, r * 0.62, s.shade((165, 105, 50), 10))
    s.disc(x + 0.03, y + 0.03, r * 0.3, s.shade((190, 135, 75), 10))


def pizza(s: Sheet) -> None:
    s.ground((150, 110, 75), (120, 85, 55))
    s.disc(0.5, 0.5, 0.44, s.shade((200, 145, 75)))
    s.disc(0.5, 0.5, 0.39, s.shade((195, 70, 35)))
    for colour, count, low, high in (
        ((250, 215, 120), 60, 0.02, 0.06),
        ((165, 35, 30), 9, 0.05, 0.07),
        ((50, 95, 40), 12, 0.015, 0.03),
    ):
        for _ in range(count):
            angle, far = s.between(0, 2 * math.pi), 0.34 * math.sqrt(s.between(0, 1))
            s.disc(0.5 + far * math.cos(angle), 0.5 + far * math.sin(angle), s.between(low, high), s.shade(colour))


def ladybug(s: Sheet) -> None:
    s.ground((95, 160, 60), (60, 120, 40))
    s.line([0, s.between(0.2, 0.8), 1, s.between(0.2, 0.8)], s.shade((140, 190, 90)), 0.03)
    x, y = s.between(0.46, 0.54), s.between(0.5, 0.58)
    for side in (-1, 1):
        for k in (-1, 0, 1):
            s.line([x, y + 0.1 * k, x + side * 0.36, y + 0.17 * k - 0.03], (20, 20, 20), 0.02)
    s.disc(x, y - 0.24, 0.12, (20, 20, 20))
    s.pen.ellipse(s.at(x - 0.27, y - 0.26, x + 0.27, y + 0.3), fill=s.shade((205, 30, 25), 10))
    s.line([x, y - 0.25, x, y + 0.29], (25, 15, 15), 0.015)
    for dx, dy in ((0.13, -0.12), (0.16, 0.05), (0.09, 0.18)):
        for side in (-1, 1):
            s.disc(x + side * dx, y + dy, s.between(0.035, 0.05), (20, 15, 15))
    for side in (-1, 1):
        s.disc(x + side * 0.06, y - 0.29, 0.025, (240, 240, 230))


#: what is drawn -> how, in the names of the class folders
THINGS: dict[str, Callable[[Sheet], None]] = {
    "espresso": espresso,
    "goldfish": goldfish,
    "ladybug": ladybug,
    "lighthouse": lighthouse,
    "orange": orange,
    "pizza": pizza,
    "school bus": school_bus,
    "umbrella": umbrella,
}


def main(folder: Path) -> None:
    """Draw all pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, (thing, draw) in enumerate(THINGS.items()):
        for number in range(4):
            sheet = Sheet(100 * kind + number)
            draw(sheet)
            sheet.finish().save(folder / f"{thing}-{number + 1}.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
