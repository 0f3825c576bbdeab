"""Small pictures as part of the HTML: nothing else to fetch, nothing written on the server."""

import base64
import io

import numpy as np
from PIL import Image


def png_url(pixels: np.ndarray) -> str:
    """Pixels, uint8 (H, W), (H, W, 3) or (H, W, 4), as a `data:` address, exactly."""
    return _url(Image.fromarray(pixels), "PNG")


def jpeg_url(picture: Image.Image) -> str:
    """A picture as a `data:` address, much smaller and not exactly."""
    return _url(picture, "JPEG")


def _url(picture: Image.Image, file_format: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, file_format)
    return f"data:image/{file_format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
