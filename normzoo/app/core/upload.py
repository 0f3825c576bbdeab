"""The photo that the page works on: the component that holds its file, and from what that sends to a picture."""

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from normzoo.app.core import examples
from normzoo.app.core.errors import GuardedBlocks
from normzoo.app.core.work import DECODED_BYTES, computing
from normzoo.errors import ImageError
from normzoo.images.archive import read_archive
from normzoo.images.limits import MAX_BYTES
from normzoo.images.preprocess import count_pixels, load_image

Value = TypeVar("Value")

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
    """
    if not isinstance(choice, dict):
        raise ImageError("There is no such photo.")
    if "set" in choice:
        return examples.prepared_photo(choice["set"], choice.get("number")).path
    path = photo_path(choice.get("file"))
    return path if path is None or "member" not in choice else _extract(path, choice["member"])


def _extract(archive: Path, number: object) -> Path:
    """Put one photo of an archive where uploads are, as an upload is: its folder is its hash, its name says nothing."""
    known = isinstance(number, int) and not isinstance(number, bool)
    content = next((file.content for file in read_archive(archive, MOST, only=number)), None) if known else None
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
    """Where Gradio put an upload; None where there is no photo."""
    if photo is None:
        return None
    path = photo.get("path") if isinstance(photo, dict) else None
    if not isinstance(path, str) or not path:
        raise ImageError("The photo did not arrive as a file; choose it again.")
    return Path(path)


def open_photo(photo: dict[str, Any] | None) -> Image.Image | None:
    """The picture that the component sent; None where there is none. It is shared: nobody may change it."""
    path = photo_path(photo)
    return None if path is None else _decode(path)


class Kept(Generic[Value]):
    """What was made of files, the newest of it up to so many bytes, for as long as each file is there.

    An upload never changes: its folder is the hash of its bytes.

    Args:
        size: of a value in bytes.
    """

    everything: ClassVar[list["Kept[Any]"]] = []

    def __init__(self, max_bytes: int, size: Callable[[Value], int]) -> None:
        self._max_bytes, self._size = max_bytes, size
        self._values: OrderedDict[tuple[Path, Hashable], Value] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0
        self.everything.append(self)

    def get(self, path: Path, make: Callable[[], Value], what: Hashable = None) -> Value:
        """What was made of a file, or is now; what `make` raises is not kept."""
        key, is_there = (path, what), path.is_file()
        with self._lock:
            if is_there and key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self.bytes += self._size(value)
            while self.bytes > self._max_bytes:
                self.bytes -= self._size(self._values.popitem(last=False)[1])
        return value

    def forget_missing(self) -> None:
        """Forget what was made of files that are gone."""
        with self._lock:
            for path, what in [key for key in self._values if not key[0].is_file()]:
                self.bytes -= self._size(self._values.pop((path, what)))


def forget_missing(demo: GuardedBlocks) -> None:
    """Forget whatever was made of uploads that are gone."""
    demo.forget_missing()
    for kept in Kept.everything:
        kept.forget_missing()


_decoded = Kept[Image.Image | str](
    DECODED_BYTES, lambda kept: len(kept) if isinstance(kept, str) else 4 * kept.width * kept.height
)


def _decode(path: Path) -> Image.Image:
    """The picture in a file; a refusal is remembered as well."""

    def make() -> Image.Image | str:
        try:
            with computing(count_pixels(path)):
                return load_image(path)
        except ImageError as error:
            if not path.is_file():
                raise
            return str(error)

    kept = _decoded.get(path, make)
    if isinstance(kept, str):
        raise ImageError(kept)
    return kept
