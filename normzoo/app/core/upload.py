"""The photo that the page works on: the component that holds its file, and from what that sends to a picture."""

import functools
import hashlib
import secrets
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from normzoo.app.core import examples
from normzoo.app.core.batching import COMPUTING
from normzoo.errors import ImageError
from normzoo.images.archive import read_archive
from normzoo.images.formats.limits import MAX_BYTES
from normzoo.images.preprocess import load_image

#: Pictures that are kept decoded: what a visitor asks about a photo comes in several events at once.
KEPT = 4

#: Most photos that go through together.
MOST = 64


def _script(name: str, **constants: object) -> str:
    """A script of this folder behind the one that sends files, with constants in the place of their names."""
    text = "".join(Path(__file__).with_name(file).read_text(encoding="utf-8") for file in ("sending.js", name))
    for constant, value in {"MAX_BYTES": MAX_BYTES, "MAX_MB": MAX_BYTES // 10**6, "MOST": MOST, **constants}.items():
        text = text.replace(constant, str(value))
    return text


def build() -> gr.Image:
    """The component that holds its file, an example at first; unseen, since Gradio would show the file as it came."""
    photo = gr.Image(str(examples.EXAMPLES[0].path), type="filepath", label="Photo", visible=False)
    for example in examples.EXAMPLES:  # now, so that they are there even when the disk is full
        photo.keep_in_cache.add(photo.move_resource_to_block_cache(str(example.path)))
    return photo


def listener() -> gr.HTML:
    """Place, outside of all tabs, what hears of choices on the whole page: its value is the choice, its event `select`."""
    return gr.HTML(None, html_template="", js_on_load=_script("upload.js"))


def many_listener(tab: int) -> gr.HTML:
    """Place what hears of many photos at once, outside of all tabs too.

    Args:
        tab: the position of the tab that opens for them.
    """
    return gr.HTML(None, html_template="", js_on_load=_script("photos.js", TAB=tab))


def chosen_path(choice: object) -> Path | None:
    """The file that was chosen: `{"set": "examples", "number": 0}`, `{"file": …}`, of an archive with `"member": 0` besides;
    None where the photo is to go, `{}`.

    Raises:
        ImageError: it is none of these.
    """
    if not isinstance(choice, dict):
        raise ImageError("There is no such photo.")
    if "set" in choice:
        return examples.prepared_photo(choice["set"], choice.get("number")).path
    path = photo_path(choice.get("file"))
    return path if path is None or "member" not in choice else _extract(path, choice["member"])


def _extract(archive: Path, number: object) -> Path:
    """Put one photo of an archive where uploads are, as an upload is: its folder is its hash, its name says nothing."""
    files = read_archive(archive, MOST)
    content = next((file.content for position, file in enumerate(files) if position == number), None)
    if content is None:
        raise ImageError("There is no such photo in this archive.")
    path = Path(get_upload_folder()) / hashlib.sha256(content).hexdigest() / "photo"
    if not path.exists():  # another visitor may be about to read it: whole or not at all
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(secrets.token_hex(8))
        part.write_bytes(content)
        part.replace(path)
    return path


def photo_path(photo: object) -> Path | None:
    """Where Gradio put an upload; None where there is no photo.

    Raises:
        ImageError: something else came in its place, such as a `data:` URL.
    """
    if photo is None:
        return None
    path = photo.get("path") if isinstance(photo, dict) else None
    if not isinstance(path, str) or not path:
        raise ImageError("The photo did not arrive as a file; choose it again.")
    return Path(path)


def open_photo(photo: dict[str, Any] | None) -> Image.Image | None:
    """The picture that the component sent; None where there is none. It is shared: nobody may change it.

    Raises:
        ImageError: what came is no photo.
    """
    path = photo_path(photo)
    return None if path is None else _decode(path)


def photo_name(photo: dict[str, Any] | None) -> str:
    """The name of the photo's file, as its visitor chose it: untrusted."""
    path = photo_path(photo)
    return "" if path is None else path.name


@functools.lru_cache(maxsize=KEPT)
def _decode(path: Path) -> Image.Image:
    """The picture in a file. Gradio keeps an upload in a folder named after the hash of its bytes: it never changes."""
    with COMPUTING:
        return load_image(path)
