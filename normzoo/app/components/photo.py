"""Photos on the page: the one that is shown, with buttons and examples; many from files, archives and prepared sets."""

import contextlib
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.events import Dependency
from PIL import Image

from normzoo.app.components.html import jpeg_url, render
from normzoo.app.core.controls import UNDOCUMENTED, Chooser, Linked
from normzoo.app.core.errors import check_choice
from normzoo.app.core.examples import EXAMPLES, PREPARED, Example
from normzoo.app.core.upload import MOST, Kept, chosen_path, open_photo, photo_path
from normzoo.app.core.work import SMALL_BYTES, check_wanted, computing
from normzoo.errors import ConfigError, ImageError
from normzoo.images.archive import MAX_TOTAL_BYTES, is_archive, list_archive, read_archive
from normzoo.images.preprocess import count_pixels, load_image, to_pixels

#: Longest side of the picture that is shown; sharp on a screen of two pixels to one.
PREVIEW_PIXELS = 640
EXAMPLE_PIXELS = 112

#: Tells `upload.js` that it may ask about the next choice.
ANSWERED = 'document.dispatchEvent(new Event("photo-answered"));'


def build(chooser: Chooser) -> tuple[Dependency, gr.Textbox]:
    """Place the picture and the buttons, an example at first.

    Returns:
        the event in which every choice of a photo ends; and the class that its visitor says it shows, by its folder.
    """
    truth = gr.Textbox("", visible=False, label="truth")
    preview = gr.HTML(show(EXAMPLES[0].path), js_on_load=None, elem_id="photo")
    gr.HTML(render("photo_controls.html"), js_on_load=None)

    def choose_photo(choice: object) -> tuple[Path | None, str, str]:
        """Put what was chosen in the place of the photo, if it is a picture; if not, nothing changes."""
        path = chosen_path(choice)
        return path, show(path), _label(choice)

    chosen = chooser.photo_choice.select(choose_photo, chooser.photo_choice, [chooser.photo, preview, truth], **UNDOCUMENTED)
    names = {prepared: [_in_link(photo) for photo in photos] for prepared, photos in PREPARED.items()}
    chooser.add_to_link(
        Linked(
            "photo",
            [chosen],
            [chooser.photo_choice],
            f'({json.dumps(names)}[given[0].set] ?? [])[given[0].number] ?? ""',  # a photo of somebody's own is in no link
            lambda _, name: open_prepared(name),
            [chooser.photo, preview, truth],
        )
    )
    chosen.failure(None, js=f"() => {{ {ANSWERED} }}", api_name="photo_refused", **UNDOCUMENTED)
    return chosen, truth


def _label(choice: Any) -> str:
    """The class of the folder that an upload lies in; empty where that names none."""
    label = choice.get("label")
    return label if isinstance(label, str) else ""


def strip_of_examples() -> str:
    """The buttons, which `upload.js` hears, with their pictures in them: nothing to fetch, nothing that moves on loading."""
    pixels = [to_pixels(load_image(example.path), EXAMPLE_PIXELS) for example in EXAMPLES]
    examples = [
        (example.title, json.dumps({"set": "examples", "number": number}), jpeg_url(Image.fromarray(pixels[number])))
        for number, example in enumerate(EXAMPLES)
    ]
    return render("examples.html", examples=examples, size=EXAMPLE_PIXELS)


def open_prepared(name: str) -> list[Any]:
    """Return the file of a photo that is here, by its name in a link, and how it is shown."""
    known = {_in_link(photo): photo for photos in PREPARED.values() for photo in photos}
    photo = known[check_choice("photo", name, known)]
    return [str(photo.path), show(photo.path), ""]


def _in_link(photo: Example) -> str:
    """Its name: cat, drawn/lemon-2."""
    return photo.file.removesuffix(photo.path.suffix)


def show(path: Path | None) -> str:
    """Return as HTML what the networks get to see of a photo, so upright and on white, and its name."""
    picture = open_photo(None if path is None else {"path": str(path)})
    if path is None or picture is None:
        return render("photo.html", photo=None)
    small = picture.copy()
    small.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS), Image.Resampling.BOX)
    return render("photo.html", photo={"url": jpeg_url(small), "name": path.name})


FIRST_SET = "drawings"
THUMBNAIL_PIXELS = 48
#: Of all photos together, as `count_pixels` counts them: decoding so many takes about two seconds.
MAX_PIXELS = 100_000_000
_NAME_LETTERS = 80


@dataclass(frozen=True)
class Photo:
    """A photo, small. Names come from its visitor, and are untrusted.

    Args:
        square: what a network gets to see of it.
        thumbnail: a `data:` address.
        folder: that it lies in, which may name what it shows.
        choice: what puts it into Classify.
    """

    name: str
    folder: str
    square: Image.Image
    thumbnail: str
    choice: dict[str, Any]


@dataclass(frozen=True)
class Photos:
    """Photos that could be read, and for the others the reason, in the order that they came."""

    read: tuple[Photo, ...]
    problems: tuple[str, ...]


def read_photos(wanted: object, image_size: int, tell: Callable[[int, int], None] = lambda done, count: None) -> Photos:
    """Read what a visitor wants to see together.

    Args:
        wanted: a prepared set, `{"set": "drawings"}`, or a list of uploads: `{"path": …}`, with `name` and `folder` or without.
        image_size: of the networks.
        tell: is told how many of how many files are read.
    """
    files: list[tuple[Path, str, str, dict[str, Any]]]
    if isinstance(wanted, dict) and "set" in wanted:
        name = check_choice("set of photos", wanted["set"], PREPARED)
        files = [(each.path, each.title, each.folder, {"set": name, "number": n}) for n, each in enumerate(PREPARED[name])]
    else:
        sent = {"meta": {"_type": "gradio.FileData"}}
        files = [(path, name, where, {"file": {"path": str(path), **sent}}) for path, name, where in _check(wanted)]
    read, problems = list[Photo](), list[str]()
    for done, (path, name, folder, choice) in enumerate(files, start=1):
        answer = _read(path, image_size)
        tell(done, len(files))
        if isinstance(answer, str):
            problems.append(f"{name}: {answer}")
            continue
        for number, member in enumerate(answer):
            if isinstance(member, str):
                problems.append(f"{name}, {member}")
            elif member.name:
                read.append(Photo(*member, {**choice, "member": number}))
            else:
                read.append(Photo(name, folder, member.square, member.thumbnail, choice))
    return Photos(tuple(read), tuple(problems))


def _check(wanted: object) -> list[tuple[Path, str, str]]:
    """Path, name and folder of each upload."""
    if not isinstance(wanted, list) or not all(isinstance(each, dict) for each in wanted):
        raise ImageError(f'The photos must be a list of files, or a prepared set such as {{"set": "{FIRST_SET}"}}.')
    if len(wanted) > MOST:
        raise ImageError(f"These are {len(wanted)} files, more than the {MOST} that go through together; choose fewer.")
    uploads = []
    for each in wanted:
        path = photo_path(each)
        if path is None:
            raise ImageError("A photo did not arrive as a file; choose it again.")
        uploads.append((path, _words(each.get("name") or each.get("orig_name") or path.name), _words(each.get("folder"))))
    uploads = [upload for number, upload in enumerate(uploads) if upload[0] not in {path for path, *_ in uploads[:number]}]
    try:
        total = sum(path.stat().st_size for path, _, _ in uploads)
        if total <= MAX_TOTAL_BYTES:  # of archives what they declare is added up before any of it is unpacked
            total = sum(_declared.get(path, functools.partial(_declare, path)) for path, _, _ in uploads)
        if total > MAX_TOTAL_BYTES:
            most = MAX_TOTAL_BYTES // 10**6
            raise ImageError(f"These files have {total / 1e6:.0f} MB, more than the {most} MB allowed; choose fewer.")
        counted = [_counted.get(path, functools.partial(_count, path)) for path, _, _ in uploads]
    except OSError:
        raise ImageError("These photos are no longer here; choose them again.") from None
    pixels = [number for each in counted if not isinstance(each, str) for number in each]
    if len(pixels) > MOST:
        raise ImageError(f"These are {len(pixels)} photos, more than the {MOST} that go through together; choose fewer.")
    if sum(pixels) > MAX_PIXELS:
        raise ImageError(
            f"These photos have more than {MAX_PIXELS // 10**6} million pixels together; choose fewer or smaller ones."
        )
    return uploads


def _declare(path: Path) -> int:
    """The size in bytes of a file, of an archive that of its files as they declare it; nothing of one that cannot be read."""
    try:
        return sum(list_archive(path, MOST)) if is_archive(path) else path.stat().st_size
    except ImageError:
        return 0


def _count(path: Path) -> list[int] | str:
    """How many pixels each picture in a file has, before any is decoded, or why it is refused; nothing else in it counts."""
    found = []
    try:
        for content in [path] if not is_archive(path) else (file.content for file in read_archive(path, MOST)):
            check_wanted()
            with contextlib.suppress(ImageError):  # which is told when it is read
                found.append(count_pixels(content))
    except ImageError as error:
        return str(error)
    return found


def _words(value: object) -> str:
    return value[-_NAME_LETTERS:] if isinstance(value, str) else ""


class _Small(NamedTuple):
    """A photo of a file; name and folder are those within an archive, empty for a photo by itself."""

    name: str
    folder: str
    square: Image.Image
    thumbnail: str


_declared = Kept[int](SMALL_BYTES // 10, lambda _: 200)
_counted = Kept[list[int] | str](SMALL_BYTES // 10, lambda counted: 200 + 40 * len(counted))
_small = Kept[list[_Small | str] | str](
    SMALL_BYTES, lambda kept: sum(map(_bytes, kept)) if isinstance(kept, list) else len(kept)
)


def _bytes(small: _Small | str) -> int:
    """What is kept takes in memory, about."""
    return 1000 + (len(small) if isinstance(small, str) else 4 * small.square.width**2 + len(small.thumbnail))


def _read(path: Path, image_size: int) -> list[_Small | str] | str:
    """The photos in a file, or the sentence that says why there are none: a refusal is an answer like others."""

    def read() -> list[_Small | str] | str:
        try:
            if not is_archive(path):
                return [_Small("", "", *_reduce(path, image_size))]
            if isinstance(refusal := _counted.get(path, functools.partial(_count, path)), str):
                return refusal
            return [_read_member(file.name, file.folder, file.content, image_size) for file in read_archive(path, MOST)]
        except (ImageError, ConfigError) as error:
            if not path.is_file():  # what may be a moment's is raised, and not kept
                raise OSError from error
            return str(error)

    try:
        return _small.get(path, read, image_size)
    except (ImageError, OSError):
        return "It is no longer here; choose it again."


def _read_member(name: str, folder: str, content: bytes, image_size: int) -> _Small | str:
    name = _words(name) or "photo"
    try:
        return _Small(name, _words(folder), *_reduce(content, image_size))
    except ImageError as error:
        return f"{name}: {error}"


def _reduce(source: Path | bytes, image_size: int) -> tuple[Image.Image, str]:
    with computing(count_pixels(source)):
        picture = load_image(source)
        square = Image.fromarray(to_pixels(picture, image_size))
        return square, jpeg_url(Image.fromarray(to_pixels(picture, THUMBNAIL_PIXELS)))
