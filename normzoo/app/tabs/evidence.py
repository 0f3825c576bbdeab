"""The tab Evidence: every finding as a card, by one template; the list of findings is `normzoo.findings`."""

import functools
import inspect
import json
from collections.abc import Callable
from types import GenericAlias
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData
from gradio.context import Context
from gradio.events import api
from markupsafe import Markup

from normzoo.app.components import charts, downloads
from normzoo.app.components.charts import as_plot
from normzoo.app.components.downloads import csv_link
from normzoo.app.components.html import BEST_NOTE, SORT_SCRIPT, marked, render, sortable
from normzoo.app.core.catalog import Catalog
from normzoo.app.core.controls import UNDOCUMENTED, Chooser, Linked
from normzoo.app.core.errors import check_choice
from normzoo.errors import ConfigError
from normzoo.findings import COMMON, OF_A_SET, Evidence, Finding, ResultTable, find_all
from normzoo.formatting import capital
from normzoo.plotting import plotly
from normzoo.pretrained.registry import ModelSet

KEYS = (*OF_A_SET, *COMMON)
OPENING = '<p class="hint">Reading the stored results…</p>'
NOT_MEASURED = '<p class="hint">This was not measured for these networks.</p>'
#: Endpoints from before: the findings that have now what they gave, what they gave, and what they took after the networks.
FORMER = {
    "compare_networks": (("pairs", "original-study"), ("report", "table", "other", "rows"), ()),
    "calibration": (("calibration",), ("figure", "report", "table", "rows"), ()),
    "other_trainings": (("image-size", "recipe-change"), ("report", "rows"), ()),
    "batch_sizes": (("batch-size",), ("figure", "report", "table", "rows"), ("metric", "splits")),
    "robustness": (("robustness",), ("figure", "report", "table", "rows"), ("corruption",)),
}


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; it is filled when somebody opens it."""
    page = Context.root_block
    with gr.Row(elem_classes="evidence"):
        with gr.Column(scale=1, min_width=200):
            index = gr.Radio(_titles({}), value=KEYS[0], label="Findings", elem_id="findings")
        with gr.Column(scale=4, min_width=300):
            report = gr.HTML(OPENING, js_on_load=None, elem_id="finding", label="report")
            plot = charts.place("finding-chart")
            rest = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="finding-rest", label="details")
            saving = gr.Column()
    data = gr.JSON(visible=False, label="finding")

    @functools.lru_cache(maxsize=8)
    def found(name: str) -> dict[str, Finding]:
        return {finding.key: finding for finding in find_all(Evidence(catalog.get(name), catalog.sets.values()))}

    def evidence(model_set: str, finding: str = KEYS[0]) -> tuple[Any, str, PlotData | None, str, Any, dict[str, Any]]:
        """What the stored results say about one question.

        finding: its key, such as pairs. Gives what findings there are for this model set, HTML and a plotly figure for the
        page, and last the finding as data: title, headline, the points of its chart, tables, method, notes and commands.
        """
        findings = found(catalog.get(model_set).name)
        shown = findings.get(check_choice("finding", finding, KEYS))
        listed = gr.Radio(choices=_titles(findings))
        if shown is None:
            return listed, NOT_MEASURED, None, "", gr.Column(visible=False), {}
        files = gr.Column(visible=shown.chart is not None)  # tables have links of their own
        return listed, headline(shown), figure(shown), details(shown), files, as_data(shown)

    def make(model_set: str, finding: str, file_format: str) -> tuple[str, bytes]:
        shown = found(catalog.get(model_set).name).get(check_choice("finding", finding, KEYS))
        return as_file(shown, model_set, file_format)

    with saving:
        downloads.build(make, [chooser.model_set, index], "finding", plot)
    following = chooser.follow(
        evidence,
        [chooser.model_set, index],
        [index, report, plot, rest, saving, data],
        choices=["set"],
        also=[index.input],
        on_open=True,
        show_progress_on=plot,
    )
    chooser.add_to_link(Linked("finding", [following.event], [index]))
    seen = "() => document.querySelector('#findings label.selected')?.scrollIntoView({inline: 'center', block: 'nearest'})"
    following.event.success(None, js=seen, api_name="show_finding", **UNDOCUMENTED)  # on a phone the list is wider
    for name, (keys, parts, ignored) in FORMER.items():
        event = api(_former(catalog, found, keys, parts, ignored), api_name=name)
        for output, part in zip(page.fns[event["id"]].outputs if page else (), parts, strict=False):
            setattr(output, "label", part)  # noqa: B010 (a block of any kind, to the type checker)


def headline(finding: Finding) -> str:
    """The claim, as HTML."""
    return render("finding.html", title=finding.title, headline=marked(finding.headline))


def details(finding: Finding) -> str:
    """All that is folded: tables with their files, method, notes, commands; as HTML."""
    tables = [Markup(_table(table, f"normzoo-{finding.key}-{number}")) for number, table in enumerate(finding.tables, start=1)]
    lines = [(title, [*map(marked, texts)]) for title, texts in (("Method", finding.method), ("Notes", finding.notes)) if texts]
    return render("finding_rest.html", tables=tables, lines=lines, commands=finding.commands)


def figure(finding: Finding) -> PlotData | None:
    """The chart, if there is one."""
    return None if finding.chart is None else as_plot(plotly.draw(finding.chart))


def as_data(finding: Finding) -> dict[str, Any]:
    """The same for the API."""
    return {
        "key": finding.key,
        "title": finding.title,
        "headline": finding.headline,
        "chart": [] if finding.chart is None else _records(finding.chart.frame().reset_index()),
        "tables": [{"caption": table.caption, "rows": _records(table.frames[0])} for table in finding.tables],
        "method": list(finding.method),
        "notes": list(finding.notes),
        "commands": list(finding.commands),
    }


def as_file(finding: Finding | None, model_set: str, file_format: str) -> tuple[str, bytes]:
    """The chart as a picture, or its points: a name without ending, and the content."""
    if finding is None or finding.chart is None:
        raise ConfigError("This finding has no chart; choose another, or take its tables.")
    content = downloads.chart_file(finding.chart, finding.chart.frame().reset_index(), file_format)
    return downloads.file_name(model_set, finding.key), content


def _table(table: ResultTable, name: str) -> str:
    numbers, texts = table.frames
    note = BEST_NOTE if table.higher_is_better else ""
    return sortable(numbers, texts, table.caption, table.higher_is_better) + note + csv_link(texts, name)


def _titles(findings: dict[str, Finding]) -> list[tuple[str, str]]:
    """Titles and keys; by their keys alone before they were read."""
    if not findings:
        return [(capital(key.replace("-", " ")), key) for key in KEYS]
    return [(findings[key].title, key) for key in KEYS if key in findings]


def _records(frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=10))  # NaN becomes null
    return rows


def _former(
    catalog: Catalog,
    found: Callable[[str], dict[str, Finding]],
    keys: tuple[str, ...],
    parts: tuple[str, ...],
    ignored: tuple[str, ...],
) -> Callable[..., tuple[Any, ...]]:
    """An endpoint from before: what it gave, of the findings that have it now."""

    def former(model_set: str, variants: list[str] | None = None, *choices: str | None) -> tuple[Any, ...]:
        findings = found(catalog.get(model_set).name)
        shown = [findings[key] for key in keys if key in findings]
        first = shown[0] if shown else None
        values = {
            "report": "".join(map(headline, shown)) or NOT_MEASURED,
            "figure": None if first is None or first.chart is None else plotly.draw(first.chart),
            "table": details(first) if first else "",
            "other": "".join(map(details, shown[1:])),
            "rows": [row for finding in shown for table in finding.tables[:1] for row in _records(table.frames[0])],
        }
        return tuple(values[part] for part in parts)

    kinds = tuple({"rows": list, "figure": dict}.get(part, str) for part in parts)
    taken = [*inspect.signature(former).parameters.values()][:2]
    taken += [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for name in ignored]
    former.__signature__ = inspect.Signature(taken, return_annotation=GenericAlias(tuple, kinds))  # type: ignore[attr-defined]
    former.__annotations__ |= dict.fromkeys(ignored, str | None)
    former.__doc__ = f"Deprecated, use evidence with {' or '.join(keys)}: choices of networks and views no longer count."
    return former
