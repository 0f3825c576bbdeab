"""The page as a whole: the heading, the shared chooser, the tabs."""

import dataclasses

import gradio as gr

from normzoo.app import chooser, classify, curves, inside, results, robustness
from normzoo.app.catalog import Catalog
from normzoo.app.guard import GuardedBlocks

TABS = (
    ("Classify", classify.build),
    ("Learning curves", curves.build),
    ("Results", results.build),
    ("Robustness", robustness.build),
    ("Inside", inside.build),
)

HEADING = """
<header>
  <h1>NormZoo</h1>
  <p>Small networks, trained alike on the same photos. Only their normalization layer differs. Give them a photo and
  compare.</p>
</header>
"""

NOTHING_YET = """
<section class="empty">
  <h2>No trained networks yet</h2>
  <p>The folder <code>checkpoints/</code> is empty. Train the networks with these three commands, then start the page again:</p>
  <pre>python -m training data fetch tiny-imagenet-25
python -m training study --recipe paper
python -m training package</pre>
</section>
"""


def build(catalog: Catalog) -> gr.Blocks:
    """Every component and event of the page."""
    with GuardedBlocks(title="NormZoo", analytics_enabled=False, delete_cache=(600, 3600)) as demo:
        gr.HTML(HEADING, js_on_load=None)
        default = catalog.default
        if default is None:
            gr.HTML(NOTHING_YET, js_on_load=None)
        else:
            controls = chooser.build(catalog, default)
            with gr.Tabs(overflow_behavior="wrap"):  # on a phone all stay in sight
                for title, build_tab in TABS:
                    with gr.Tab(title) as tab:
                        build_tab(catalog, default, dataclasses.replace(controls, tab=tab))
    return demo
