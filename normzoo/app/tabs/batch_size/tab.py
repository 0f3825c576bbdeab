"""The tab of batch sizes: what they do to the norms of which the original study asked it."""

import html
import json
from typing import Any

import gradio as gr
import pandas as pd
from gradio.components.plot import PlotData

from normzoo.analysis.batch_sizes import by_batch_size, missing_runs, norms_of_study, sized_runs
from normzoo.analysis.reference_study import batch_size_figures, nats
from normzoo.analysis.results import METRICS, SPLITS, Metric, history
from normzoo.app.components import cards
from normzoo.app.components.tables import BEST_NOTE, SORT_SCRIPT, csv_link, sortable
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import FIRST_SPLITS, SPLIT_CHOICES, Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.tabs.batch_size import words as batch_size_words
from normzoo.errors import ConfigError
from normzoo.plotting import curves as charts
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

#: The original study's loss.
DIVIDED = Metric("loss_divided", "loss divided by the batch size", is_fraction=False, higher_is_better=False)
SHOWN = {"loss": METRICS["loss"], DIVIDED.key: DIVIDED, "accuracy": METRICS["accuracy"], "macro_f1": METRICS["macro_f1"]}
OPENING = '<p class="hint">Reading the stored results…</p>'


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; it is filled when somebody opens it."""
    gr.HTML(batch_size_words.INTRODUCTION, js_on_load=None)
    choices = [(metric.title[0].upper() + metric.title[1:], key) for key, metric in SHOWN.items()]
    with gr.Row():
        metric = gr.Radio(choices, value="loss", label="What is measured", min_width=280)
        splits = gr.Radio(list(SPLIT_CHOICES), value=FIRST_SPLITS, label="On which photos", min_width=280)
    plot = gr.Plot(show_label=False, container=False, elem_id="batch-size", elem_classes="chart")
    words = gr.HTML(OPENING, js_on_load=None, elem_id="batch-size-text")
    table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="batch-size-table")
    rows = gr.JSON(visible=False)

    @guarded
    def batch_sizes(
        model_set: str, variants: list[str] | None, metric: str, splits: str
    ) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
        """The networks that were trained at several batch sizes, of those norms that are among the chosen networks.

        metric: loss, loss_divided, accuracy or macro_f1. splits: Validation, Training or Both. Gives a plotly figure, words
        and an HTML table for the page; last the final figures of each network: fractions, and losses in nats.
        """
        chosen_set = catalog.get(model_set)
        norms = [norm for norm in norms_of_study() if norm in chosen(chosen_set, variants)]
        return tell(studied_set(catalog, chosen_set), norms, metric, splits)

    opened = [] if chooser.tab is None else [chooser.tab.select]
    chooser.follow(
        batch_sizes,
        [*chooser.inputs, metric, splits],
        [plot, words, table, rows],
        also=[metric.input, splits.input, *opened],
        api_name="batch_sizes",
        show_progress_on=plot,
    )


def studied_set(catalog: Catalog, model_set: ModelSet) -> ModelSet:
    """The set itself where it has runs of other batch sizes, or else one of the same data set that has."""
    data = f"{model_set.name.partition('/')[0]}/"
    others = [other for name, other in catalog.sets.items() if name.startswith(data)]
    return next((one for one in (model_set, *others) if any("-bs" in run.variant for run in sized_runs(one))), model_set)


def tell(model_set: ModelSet, norms: list[str], metric: str, splits: str) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
    """The curves, the words, the table, and the final figures as data.

    Raises:
        ConfigError: an unknown metric or choice of splits.
    """
    if not isinstance(metric, str) or metric not in SHOWN:
        raise ConfigError(f"Unknown metric. Choose one of: {', '.join(SHOWN)}.")
    if not isinstance(splits, str) or splits not in SPLIT_CHOICES:
        raise ConfigError(f"Unknown splits. Choose one of: {', '.join(SPLIT_CHOICES)}.")
    runs = [run for run in sized_runs(model_set) if run.norm in norms]
    learned = history(model_set, [run.variant for run in runs])
    frame = learned.frame
    if not frame.empty:
        batch_sizes = frame["variant"].map({run.variant: run.batch_size for run in runs})
        frame = frame.assign(loss_divided=frame["loss"] / batch_sizes)
    figure = charts.curves(frame, SHOWN[metric], SPLIT_CHOICES[splits]) if len(frame) else {"data": [], "layout": {}}
    plot = PlotData(type="plotly", plot=json.dumps(figure, allow_nan=False))
    finals = by_batch_size(model_set, norms)
    wanted = f"{short_name(norms_of_study()[0])} or {short_name(norms_of_study()[-1])}"
    if not norms:
        return plot, f'<p class="hint">Choose {wanted} at the top of the page.</p>', "", []
    lacking = batch_size_words.missing(model_set.name, missing_runs(model_set, norms))
    unreadable = {variant: why for variant, why in model_set.problems.items() if variant.partition("-bs")[0] in norms}
    problems = cards.unavailable({**unreadable, **learned.problems})
    words = f"<p>Networks of {html.escape(model_set.name)}.</p>{batch_size_words.explain(finals)}"
    rows = json.loads(finals.to_json(orient="records", double_precision=15))
    return (
        plot,
        f'{lacking}{problems}<div class="explanation">{words}</div>',
        "" if finals.empty else tabulate(finals, model_set.name),
        rows,
    )


def tabulate(finals: pd.DataFrame, set_name: str) -> str:
    """The final figures in both conventions of the loss, beside the original's, as a sortable table with its CSV."""
    numbers: dict[str, list[Any]] = {"Network": [short_name(variant) for variant in finals["variant"]]}
    texts = {"Network": list(numbers["Network"])}
    best: dict[str, bool] = {}

    def add(title: str, values: list[float | None], pattern: str) -> None:
        numbers[title] = [float("nan") if value is None else value for value in values]
        texts[title] = ["–" if value is None else format(value, pattern) for value in values]

    add("Batch size", finals["batch_size"].tolist(), "d")
    for split, split_title in SPLITS.items():
        for metric in (METRICS["accuracy"], METRICS["loss"]):
            title = f"{split_title} {metric.title}{' (%)' if metric.is_fraction else ''}"
            add(
                title,
                [metric.on_screen(value) for value in finals[f"{split}_{metric.key}"]],
                ".2f" if metric.is_fraction else ".4f",
            )
            best[title] = metric.higher_is_better
    for split, split_title in SPLITS.items():
        add(f"{split_title} {DIVIDED.title}", finals[f"{split}_loss_divided"].tolist(), ".5f")
    theirs = [
        (size, batch_size_figures(norm, size) or {}) for norm, size in zip(finals["norm"], finals["batch_size"], strict=True)
    ]
    accuracies = [figures.get("accuracy") for _, figures in theirs]
    losses = [figures.get("loss") for _, figures in theirs]
    add("Original training accuracy (%)", [None if value is None else 100 * value for value in accuracies], ".2f")
    add("Original training loss as printed", losses, ".5f")
    in_nats = [None if loss is None else nats(loss, size) for loss, (size, _) in zip(losses, theirs, strict=True)]
    add("Original × batch size (nats)", in_nats, ".4f")
    add("n", finals["n"].tolist(), "d")
    screen = pd.DataFrame(numbers), pd.DataFrame(texts)
    link = csv_link(screen[1], f"normzoo-{set_name.replace('/', '-')}-batch-sizes.csv")
    return sortable(*screen, "After the last epoch, by batch size", best) + BEST_NOTE + link
