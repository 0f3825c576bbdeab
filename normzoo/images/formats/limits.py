"""Limits of a file and its picture, checked before anything is decoded, and the sentences that say why not."""

from normzoo.errors import ImageError

#: The file in bytes, the picture in pixels (phones take up to 50 million), one side.
MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
MAX_INPUT_SIDE = 30_000

DAMAGED = "This picture is damaged or of a rare kind; save it again as JPEG or PNG and try again."
INCOMPLETE = "This picture is incomplete, its file ends too early; choose another copy of it."


def too_many(parts: str, limit: int) -> ImageError:
    """Return the refusal of a file that is made of so many parts that reading it would take long."""
    return ImageError(f"This picture's file has more than {limit:,} {parts}; save it again as JPEG or PNG and try again.")


def check_bytes(size: int) -> None:
    """Raise ImageError for a file of this size, unless it may be read."""
    if size == 0:
        raise ImageError("This file is empty; choose another picture.")
    if size > MAX_BYTES:
        raise ImageError(
            f"This file has {size / 1e6:.1f} MB, more than the {MAX_BYTES // 10**6} MB allowed; "
            "make the picture smaller or save it as JPEG and try again."
        )


def check_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    """Raise ImageError for a picture of this width and height, unless it may be decoded."""
    width, height = size
    if min(size) < 1:
        raise ImageError(DAMAGED)
    if width * height > max_pixels:
        raise ImageError(
            f"This picture has {width} × {height} pixels, more than the {max_pixels // 10**6} million allowed; "
            "make it smaller and try again."
        )
    if max(size) > MAX_INPUT_SIDE:
        raise ImageError(
            f"This picture has {width} × {height} pixels, more than the {MAX_INPUT_SIDE} allowed along one side; "
            "crop it and try again."
        )
