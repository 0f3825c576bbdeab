"""Whose photos and code these are, and what may be done with them, as HTML."""

import re

from markupsafe import Markup, escape

from normzoo.app.components.html import render
from normzoo.app.core.examples import EXAMPLES, FOLDER

TERMS = """
<p class="explanation">The code and the trained networks are under the Apache License 2.0. No training photo is shipped
here. Networks of the data set tiny-imagenet-25 learned from Tiny ImageNet, whose photos come from ImageNet: those are for
non-commercial research and education under ImageNet's own terms, and belong to their authors. Consider
this before you use the networks for anything else. Photos that you upload are used only to answer you, and are deleted from
this server after about an hour.</p>
<h3>The example photos</h3>
"""


def describe() -> str:
    """Terms, and the credits of the example photos from the file beside them."""
    titles = {example.file: example.title for example in EXAMPLES}
    text = (FOLDER / "CREDITS.md").read_text(encoding="utf-8")
    credits = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        name = cells[0].strip("` ")
        if name in titles:
            credits.append([titles[name], *(_linked(cell) for cell in cells[1:5])])
    return TERMS + render("credits.html", credits=credits)


def _linked(markdown: str) -> Markup:
    """Markdown links and code in a line, as HTML."""
    linked = re.sub(
        r"\[([^\]]+)\]\((https://[^\s)]+)\)",
        r'<a href="\2" target="_blank" rel="noopener noreferrer">\1</a>',
        str(escape(markdown)),  # of a Markup, re.sub would escape the tags too
    )
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", linked))
