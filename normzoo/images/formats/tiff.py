"""TIFF, for people's own files: libtiff reports success for some short data and leaves the rest of its buffer as it was."""

from PIL.TiffImagePlugin import TiffImageFile

from normzoo.errors import ImageError
from normzoo.images.formats.limits import check_size
from normzoo.images.formats.pillow import Decoded, open_with

_TAG_BYTES = 4_000_000  # crafted ones overlap, and so fill the memory
# None, LZW, deflate by its two numbers, run lengths. Their decoders report short data; those of fax do not.
_COMPRESSIONS = {1, 5, 8, 32946, 32773}
_COMPRESSION, _TILE_WIDTH, _TILE_HEIGHT = 259, 322, 323


def pixels(data: bytes) -> int:
    """How many pixels it declares."""
    width, height = open_with(TiffImageFile, data, _TAG_BYTES).size
    return width * height


def decode(data: bytes, _max_side: int) -> Decoded:
    """Return the first picture; Pillow turns it itself."""
    image = open_with(TiffImageFile, data, _TAG_BYTES)
    if image.tag_v2.get(_COMPRESSION, 1) not in _COMPRESSIONS:
        raise ImageError("This TIFF is compressed in a way that is not read here; save it as JPEG or PNG and try again.")
    check_size((image.tag_v2.get(_TILE_WIDTH, 1), image.tag_v2.get(_TILE_HEIGHT, 1)))  # may be larger than the picture
    image.is_animated = True  # else Pillow parses every value of every EXIF directory after decoding
    image.load()
    return Decoded(image, image.info.get("icc_profile"))
