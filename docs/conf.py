"""Configuration of the documentation; `make docs` builds it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # it need not be installed

project = "NormZoo"
author = "NormZoo contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "results"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "NormZoo"
html_static_path: list[str] = []
myst_heading_anchors = 3
# Files of the project that the pages point to are no pages.
suppress_warnings = ["myst.xref_missing"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
nitpicky = False
