"""Files of every accepted format in the variants that decoders tell apart; Chromium shows each, as `load_image` does."""

from tests.support.variants import avif, gif, jpeg, png, png_colours, webp

_MODULES = {"png": (png, png_colours), "gif": (gif,), "webp": (webp,), "jpeg": (jpeg,), "avif": (avif,)}


def variants(kind=""):
    """Name and content of each file, of one format or of all."""
    for name, modules in _MODULES.items():
        for module in modules if kind in ("", name) else ():
            for variant, content in module.files():
                yield f"{name} {variant}", content
