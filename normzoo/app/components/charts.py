"""Charts of plotly.js in Gradio's Plot, and clicks on them: Plot has no event for these, plotly.js has."""

import json
from pathlib import Path

import gradio as gr
from gradio.components.plot import PlotData

from normzoo.plotting.plotly import Figure

_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def as_plot(figure: Figure) -> PlotData:
    """Return what Gradio's Plot takes for a figure."""
    return PlotData(type="plotly", plot=json.dumps(figure, allow_nan=False))


def listener(chart: str) -> gr.HTML:
    """Place what hears of the chart of that id: `expand` once it comes into view, `select` of clicks with the cell as value."""
    return gr.HTML(
        None, html_template="", js_on_load=_SCRIPT.replace("CHART", chart), elem_id=f"{chart}-clicks", elem_classes="unseen"
    )


def cell(clicked: object) -> tuple[str, str]:
    """The x and y of the cell; empty where there is none."""
    data = clicked if isinstance(clicked, dict) else {}
    x, y = data.get("x"), data.get("y")
    return (x if isinstance(x, str) else ""), (y if isinstance(y, str) else "")


def show(words: str) -> str:
    """A script that brings the words of that id into view, where they are not."""
    return f"() => document.getElementById('{words}').scrollIntoView({{block: 'nearest'}})"
