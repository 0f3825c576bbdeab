"""Clicks on a chart: Gradio's Plot has no event for them, plotly.js has."""

import gradio as gr

# `trigger` is what Gradio gives to such a script. Each new drawing is a new element: it is listened to as soon as a pointer
# comes near it.
_SCRIPT = """
document.addEventListener("pointerover", (event) => {
  const chart = event.target.closest?.("#CHART .js-plotly-plot");
  if (!chart || chart.isHeard) return;
  chart.isHeard = true;
  chart.on("plotly_click", ({points}) => trigger("select", {x: points[0].x, y: points[0].y}));
});
"""


def listener(chart: str) -> gr.HTML:
    """Place what hears of clicks on the chart of that id; its event `select` brings the clicked cell as x and y."""
    return gr.HTML("", js_on_load=_SCRIPT.replace("CHART", chart), elem_id=f"{chart}-clicks", elem_classes="unseen")


def cell(event: gr.EventData) -> tuple[str, str]:
    """The x and y of the cell; empty where the event brings none."""
    data = event._data if isinstance(event._data, dict) else {}
    x, y = data.get("x"), data.get("y")
    return (x if isinstance(x, str) else ""), (y if isinstance(y, str) else "")


def show(words: str) -> str:
    """A script that brings the words of that id into view, where they are not."""
    return f"() => document.getElementById('{words}').scrollIntoView({{block: 'nearest'}})"
