"""WebP, whole to libwebp: it reads headers and pixels in one bounded go."""

from PIL.WebPImagePlugin import WebPImageFile

from normzoo.errors import ImageError
from normzoo.images.formats.limits import INCOMPLETE
from normzoo.images.formats.pillow import Decoded, open_with


def decode(data: bytes, _max_side: int) -> Decoded:
    """Return the picture as it is stored: Chromium turns no WebP by its EXIF, and takes no profile of an animation."""
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise ImageError(INCOMPLETE)
    image = open_with(WebPImageFile, data)
    image.load()
    return Decoded(image, None if image.is_animated else image.info.get("icc_profile"))
