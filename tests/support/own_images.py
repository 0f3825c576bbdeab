"""A folder of made-up photos of three things, as untidy as a person's own."""

import csv

import numpy as np
from PIL import Image

#: Class -> its colour and how many images it has.
CLASSES = {"Grüner Baum": ((40, 160, 60), 24), "red <b>bird & co": ((200, 40, 40), 30), "空": ((60, 90, 210), 12)}
SIZES = ((40, 30), (30, 64), (48, 48), (200, 20))


def make_photo(name, number):
    """A noisy picture of one colour; every size, aspect and mode comes."""
    draw = np.random.default_rng((number, len(name)))
    width, height = SIZES[number % len(SIZES)]
    pixels = np.array(CLASSES[name][0]) + draw.normal(0, 25, (height, width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return image.convert(("RGB", "RGBA", "P", "L")[number % 4]) if number % 5 == 0 else image


def write_photos(folder):
    """`<class>/photo <number>.png` and `.jpg` in `folder`, with some files that are no pictures; gives `folder`."""
    for name, (_, count) in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = make_photo(name, number)
            suffix = "jpg" if image.mode == "RGB" else "png"
            image.save(folder / name / f"photo {number}.{suffix}")
    first = next(iter(CLASSES))
    (folder / first / "notes.txt").write_text("What I saw.")
    (folder / first / "torn.jpg").write_bytes((folder / first / "photo 1.jpg").read_bytes()[:150])
    (folder / first / "empty.png").write_bytes(b"")
    (folder / first / ".hidden").write_bytes(b"not looked at")
    return folder


def silent(line):
    """Say nothing."""


def rows_of(data):
    """The table of where every file of the folder went."""
    assert data.files is not None
    with open(data.files, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save_colours(folder, name, count, level):
    """`<folder>/<name>/<number>.png`, so many images, each of another colour."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (9, 9), (level, number, 0)).save(folder / name / f"{number}.png")
