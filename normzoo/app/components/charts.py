"""Charts of plotly.js in Gradio's Plot, and clicks on them: Plot has no event for these, plotly.js has."""

import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData
from gradio.events import Dependency

from normzoo.app.core.controls import UNDOCUMENTED
from normzoo.plotting.plotly import Figure

_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def as_plot(figure: Figure) -> PlotData:
    """Return what Gradio's Plot takes for a figure."""
    return PlotData(type="plotly", plot=json.dumps(figure, allow_nan=False))


def place(elem_id: str, label: str = "figure", **options: Any) -> gr.Plot:
    """Place a chart; `label` is its name for programs."""
    return gr.Plot(show_label=False, container=False, elem_id=elem_id, elem_classes="chart", label=label, **options)


def listener(chart: str) -> gr.HTML:
    """Place what hears of the chart of that id: `expand` once it comes into view, `select` of clicks with the cell as value."""
    return gr.HTML(
        None, html_template="", js_on_load=_SCRIPT.replace("CHART", chart), elem_id=f"{chart}-clicks", elem_classes="unseen"
    )


def once_seen(chart: str) -> str:
    """The selector of the chart of that id, once it has come into view."""
    return f"#{chart}[data-seen]"


def follow_clicks(
    clicks: gr.HTML, tell: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], words: str, turns: str
) -> Dependency:
    """Have a function of the inputs and the clicked cell tell what it means, and bring that into view.

    Args:
        words: id of what it says.
        turns: concurrency id of what it takes turns with.
    """
    options: dict[str, Any] = {**UNDOCUMENTED, "concurrency_id": turns}
    told = clicks.select(tell, [*inputs, clicks], list(outputs), api_name=f"{turns}_cell", **options)
    js = f"() => document.getElementById('{words}').scrollIntoView({{block: 'nearest'}})"
    told.success(None, js=js, api_name=f"show_{turns}_cell", **UNDOCUMENTED)
    return told


def cell(clicked: object) -> tuple[str, str]:
    """The x and y of the cell; empty where there is none."""
    data = clicked if isinstance(clicked, dict) else {}
    x, y = data.get("x"), data.get("y")
    return html.unescape(x) if isinstance(x, str) else "", html.unescape(y) if isinstance(y, str) else ""
