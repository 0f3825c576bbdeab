"""The picture in the files, and palettes and pixels of noise."""

import random

from PIL import Image

WIDTH, HEIGHT = 37, 21  # odd, so that no row or block is full


def scene(mode="RGB", size=(WIDTH, HEIGHT)):
    """Soft colours with some grain and hard edges."""
    grain = Image.frombytes("L", size, random.Random(5).randbytes(size[0] * size[1]))
    ramp = Image.linear_gradient("L")
    down = ramp.rotate(90).resize(size)
    colours = Image.merge("RGB", (ramp.resize(size), down, Image.radial_gradient("L").resize(size)))
    picture = Image.blend(colours, grain.convert("RGB"), 0.15)
    picture.paste((250, 10, 30), (4, 3, 12, 9))
    picture = picture.convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.blend(down, grain, 0.3))
    return picture


def palette(count):
    return random.Random(7).randbytes(3 * count)
