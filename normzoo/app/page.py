"""The page as a whole: the heading, the shared chooser, the tabs."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from normzoo.app.components.photo import FIRST_SET
from normzoo.app.core import controls as chooser
from normzoo.app.core.catalog import Catalog
from normzoo.app.core.errors import GuardedBlocks
from normzoo.app.tabs import about, batches, compare, curves, evidence, inside

#: Of each tab its name in links, its title, and what builds it.
TABS: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("compare", "Compare", compare.build),
    ("batches", "Batches", batches.build),
    ("curves", "Curves & metrics", curves.build),
    ("evidence", "Evidence", evidence.build),
    ("inside", "Inside", inside.build),
    ("about", "About", about.build),
)
BATCHES = [key for key, *_ in TABS].index("batches")

HEADING = """
<header>
  <h1>NormZoo</h1>
  <p>Six small ResNets, identical except for the normalization layer.</p>
</header>
"""

#: Gradio's script for charts, plotly.js in it.
PLOTLY = next((Path(gr.__file__).parent / "templates/frontend/assets").glob("PlotlyPlot-*.js")).name
BEHAVIOUR = Path(__file__).with_suffix(".js").read_text(encoding="utf-8").replace("PLOTLY", PLOTLY)

NOTHING_YET = """
<section class="empty">
  <h2>No trained networks yet</h2>
  <p>The folder <code>checkpoints/</code> is empty. Train the networks with these three commands, then start the page again:</p>
  <pre>python -m training data fetch tiny-imagenet-25
python -m training study --recipe paper
python -m training package</pre>
</section>
"""


def build(catalog: Catalog) -> GuardedBlocks:
    """Every component and event of the page."""
    with GuardedBlocks(title="NormZoo", analytics_enabled=False) as demo:
        default = catalog.default
        with gr.Row(elem_classes="top"):
            gr.HTML(HEADING, js_on_load=BEHAVIOUR)
            link_button = chooser.link_button(default, [key for key, *_ in TABS]) if default else None
        if default is None or link_button is None:
            gr.HTML(NOTHING_YET, js_on_load=None)
        else:
            controls = chooser.build(default, catalog.titles, link_button, FIRST_SET, BATCHES)
            with gr.Tabs(overflow_behavior="wrap"):  # on a phone all stay in sight
                tabs = {}
                for key, title, build_tab in TABS:
                    with gr.Tab(title) as tabs[key]:
                        build_tab(catalog, default, dataclasses.replace(controls, tab=tabs[key]))
            controls.connect(catalog, tabs)
    keep_signatures(demo)
    return demo


def keep_signatures(demo: gr.Blocks) -> None:
    """Keep what `inspect.signature` finds: Gradio asks about every component for every new visitor, who waits 8 ms for it."""
    for kind in {type(block) for block in demo.blocks.values()}:
        kind.__init__.__signature__ = inspect.signature(kind.__init__)  # type: ignore[attr-defined]
