"""The example photos: a strip of buttons, each of which puts its photo in the place of an upload."""

import base64
import html
import io
import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from normzoo.errors import ImageError

FOLDER = Path(__file__).parents[1] / "photos"
THUMBNAIL_PIXELS = 112


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


def strip() -> str:
    """The buttons, which `upload.js` hears, with their pictures in them: nothing to fetch, nothing that moves on loading."""
    size = f'width="{THUMBNAIL_PIXELS}" height="{THUMBNAIL_PIXELS}"'
    buttons = "".join(
        f'<li><button type="button" data-choice="{choice_of("examples", number)}"><img src="{_thumbnail(example.path)}" alt="" '
        f"{size}>"
        f"<span>{html.escape(example.title)}</span></button></li>"
        for number, example in enumerate(EXAMPLES)
    )
    return f'<div class="examples"><h2>Or try one of these</h2><ul>{buttons}</ul></div>'


def choice_of(prepared: str, number: int) -> str:
    """The choice of one photo of a prepared set, as a button carries it."""
    return html.escape(json.dumps({"set": prepared, "number": number}))


def prepared_photo(prepared: object, number: object) -> Example:
    """One photo of a prepared set, as it may be asked for by anyone.

    Raises:
        ImageError: there is none.
    """
    photos = PREPARED.get(prepared) if isinstance(prepared, str) else None
    if photos is None or not isinstance(number, int) or not 0 <= number < len(photos):
        raise ImageError("There is no such photo here.")
    return photos[number]


def _thumbnail(path: Path) -> str:
    with Image.open(path) as image:
        image.draft("RGB", (2 * THUMBNAIL_PIXELS, 2 * THUMBNAIL_PIXELS))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").resize((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), box=(left, top, left + side, top + side))
    buffer = io.BytesIO()
    square.save(buffer, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
