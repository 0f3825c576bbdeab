"""The photos that are here: examples, and drawings."""

from dataclasses import dataclass
from pathlib import Path

from normzoo.errors import ImageError

FOLDER = Path(__file__).parents[1] / "photos"


@dataclass(frozen=True)
class Example:
    """A photo in `FOLDER` and what it shows."""

    file: str
    title: str

    @property
    def path(self) -> Path:
        return FOLDER / self.file


#: Credits and licences: CREDITS.md beside the photos. The first one is there when the page opens.
EXAMPLES = (
    Example("mountains.jpg", "Mountains"),
    Example("espresso.jpg", "Espresso"),
    Example("king-penguin.jpg", "King penguin"),
    Example("camel.jpg", "Camel"),
    Example("brown-bear.jpg", "Brown bear"),
    Example("teddy-bear.jpg", "Teddy bear"),
    Example("orange.jpg", "Orange"),
    Example("goldfish.jpg", "Goldfish"),
    # From here on they are wrong, or it is nothing that they know.
    Example("cat.jpg", "Cat"),
    Example("windmill.jpg", "Windmill"),
    Example("red-panda.jpg", "Red panda"),
    Example("rocket.jpg", "Rocket"),
)


#: Four pictures each of eight things that the networks know; `photos/draw.py` draws them.
DRAWINGS = tuple(
    Example(path.relative_to(FOLDER).as_posix(), path.stem.rpartition("-")[0]) for path in sorted(FOLDER.glob("drawn/*.jpg"))
)
#: Sets of photos that are here for "Many photos".
PREPARED = {"drawings": DRAWINGS, "examples": EXAMPLES}


def prepared_photo(prepared: object, number: object) -> Example:
    """One photo of a prepared set, as it may be asked for by anyone.

    Raises:
        ImageError: there is none.
    """
    photos = PREPARED.get(prepared) if isinstance(prepared, str) else None
    if photos is None or not isinstance(number, int) or not 0 <= number < len(photos):
        raise ImageError("There is no such photo here.")
    return photos[number]
