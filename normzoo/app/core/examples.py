"""The photos that are here: examples, and drawings."""

import filecmp
from dataclasses import dataclass
from pathlib import Path

from normzoo.errors import ImageError

FOLDER = Path(__file__).parents[1] / "photos"


@dataclass(frozen=True)
class Example:
    """A photo in `FOLDER` and what it shows."""

    file: str
    title: str
    label: str = ""  # the class that it shows; empty where that is none of the packaged networks'

    @property
    def path(self) -> Path:
        return FOLDER / self.file

    @property
    def folder(self) -> str:
        """The folder that it would lie in, sorted by class."""
        return self.label or self.title


#: Credits and licences: CREDITS.md beside the photos. The first one is there when the page opens: of those whose class is
#: known it is the one to which the packaged networks give the most different answers, which a test sees to.
EXAMPLES = (
    Example("cat.jpg", "Cat", "tabby cat"),
    Example("brown-bear.jpg", "Brown bear", "brown bear"),
    Example("teddy-bear.jpg", "Teddy bear", "teddy bear"),
    Example("goldfish.jpg", "Goldfish", "goldfish"),
    Example("orange.jpg", "Orange", "orange"),
    Example("king-penguin.jpg", "King penguin", "king penguin"),
    Example("mountains.jpg", "Mountains", "alp"),
    Example("espresso.jpg", "Espresso", "espresso"),
    # From here on it is nothing that they know: an Arabian camel has one hump.
    Example("camel.jpg", "Bactrian camel"),
    Example("windmill.jpg", "Windmill"),
    Example("red-panda.jpg", "Red panda"),
    Example("rocket.jpg", "Rocket"),
)


#: Four pictures each of eight things that the networks know; `docs/draw_photos.py` draws them.
DRAWINGS = tuple(
    Example(path.relative_to(FOLDER).as_posix(), *[path.stem.rpartition("-")[0]] * 2)
    for path in sorted(FOLDER.glob("drawn/*.jpg"))
)
#: Sets of photos that are here for "Many photos".
PREPARED = {"drawings": DRAWINGS, "examples": EXAMPLES}


def label_of(path: Path) -> str:
    """The class that a file shows if it is one of the photos here, by its content; empty where it is none."""
    same = (each for each in (*EXAMPLES, *DRAWINGS) if each.path.name == path.name)
    return next((each.label for each in same if filecmp.cmp(each.path, path, shallow=False)), "")


def prepared_photo(prepared: object, number: object) -> Example:
    """One photo of a prepared set, as it may be asked for by anyone."""
    photos = PREPARED.get(prepared) if isinstance(prepared, str) else None
    if photos is None or not isinstance(number, int) or not 0 <= number < len(photos):
        raise ImageError("There is no such photo here.")
    return photos[number]
