"""What a person reads of some HTML."""

import html
import re


def words(text):
    """Return the text between the tags, with single spaces."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))
