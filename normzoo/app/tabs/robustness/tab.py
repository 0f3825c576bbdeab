"""The tab of robustness: how many harmed validation photos each network still gets right."""

import html
import json
from typing import Any

import gradio as gr
import pandas as pd
from gradio.components.plot import PlotData

from normzoo.app.components import cards
from normzoo.app.components.tables import BEST_NOTE, SORT_SCRIPT, csv_link, sortable
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.errors import ConfigError
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.nn.norms import NORM_LAYERS
from normzoo.plotting import results as result_charts
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

ALL = "all"
OPENING = '<p class="hint">Reading the stored results…</p>'
NOT_MEASURED = (
    '<p class="hint">For these networks robustness was not measured yet. <code>python -m training package --again</code> '
    "measures it wherever the finished runs are.</p>"
)
INTRODUCTION = f"""
<div class="explanation"><p>The networks learned from clean photos only. Here every validation photo is harmed before they see
it, in {len(CORRUPTIONS)} ways, each at {len(SEVERITIES)} severities; 0 is the photo as it is. Classify does the same to a photo
of yours.</p></div>
"""


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; it is filled when somebody opens it."""
    gr.HTML(INTRODUCTION, js_on_load=None)
    choices = [("Mean over all", ALL), *((_capital(kind.title), key) for key, kind in CORRUPTIONS.items())]
    corruption = gr.Dropdown(choices, value=ALL, label="What is done to the photos", elem_id="corruption")
    plot = gr.Plot(show_label=False, container=False, elem_id="robustness", elem_classes="chart")
    words = gr.HTML(OPENING, js_on_load=None, elem_id="robustness-text")
    table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="robustness-table")
    rows = gr.JSON(visible=False)

    @guarded
    def robustness(
        model_set: str, variants: list[str] | None, corruption: str
    ) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
        """Stored accuracy of the chosen networks on harmed validation photos.

        corruption: a kind of harm, such as gaussian_noise, or all for the mean over all kinds. Gives a plotly figure, words
        and an HTML table for the page; last, for each network, kind and severity the accuracy as a fraction, beside the clean
        one, and the share of it that is kept.
        """
        chosen_set = catalog.get(model_set)
        return tell(chosen_set, chosen(chosen_set, variants), corruption)

    opened = [] if chooser.tab is None else [chooser.tab.select]
    chooser.follow(
        robustness,
        [*chooser.inputs, corruption],
        [plot, words, table, rows],
        also=[corruption.input, *opened],
        api_name="robustness",
        show_progress_on=plot,
    )


def tell(model_set: ModelSet, variants: list[str], corruption: str) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
    """The chart, the words below it, the table, and the rows as data for the API.

    Raises:
        ConfigError: an unknown corruption.
    """
    from normzoo.analysis import comparisons  # it brings scipy, which the start of the page should not wait for

    if not isinstance(corruption, str) or corruption not in (ALL, *CORRUPTIONS):
        raise ConfigError(f"Unknown kind of harm. Choose one of: {', '.join((ALL, *CORRUPTIONS))}.")
    found = comparisons.robustness(model_set, variants)
    problems = cards.unavailable(found.problems)
    frame = found.frame
    figure = result_charts.severity_lines(with_clean(frame, corruption))
    plot = PlotData(type="plotly", plot=json.dumps(figure, allow_nan=False))
    if frame.empty:
        return plot, (NOT_MEASURED if variants else cards.NO_NETWORKS) + problems, "", []
    summary = summarise(frame)
    words = explain(frame, summary, corruption) + problems
    return plot, words, tabulate(summary, model_set.name), json.loads(frame.to_json(orient="records", double_precision=15))


def with_clean(frame: pd.DataFrame, corruption: str) -> pd.DataFrame:
    """The mean accuracy per variant and severity of one corruption or of all, with the clean one as severity 0."""
    shown = frame if corruption == ALL else frame[frame["corruption"] == corruption]
    clean = shown.drop_duplicates("variant").assign(severity=0, accuracy=lambda rows: rows["clean"])
    return pd.concat([clean, shown]).groupby(["variant", "severity"], sort=False, as_index=False)["accuracy"].mean()


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per variant, in fractions: `clean`, `mean` over all corruptions, `kept` of the clean accuracy, each corruption's
    mean over its severities.
    """
    kinds = frame.pivot_table(index="variant", columns="corruption", values="accuracy", sort=False)
    clean = frame.groupby("variant", sort=False)["clean"].first()
    mean = kinds.mean(axis=1)
    summary = pd.DataFrame({"clean": clean, "mean": mean, "kept": (mean / clean).where(clean > 0, 0.0)})
    return summary.join(kinds).reset_index()


def tabulate(summary: pd.DataFrame, set_name: str) -> str:
    """The summary as a sortable table in per cent, with its CSV."""
    titles = {"clean": "Clean", "mean": "Mean over all", "kept": "Kept of clean"}
    titles |= {key: _capital(kind.title) for key, kind in CORRUPTIONS.items() if key in summary}
    names = summary["variant"].map(short_name)
    numbers = pd.DataFrame({"Network": names, **{f"{title} (%)": 100 * summary[key] for key, title in titles.items()}})
    texts = numbers.map(lambda value: value if isinstance(value, str) else f"{value:.2f}")
    caption = "Accuracy on harmed validation photos, each kind as the mean over its severities"
    table = sortable(numbers, texts, caption, dict.fromkeys(numbers.columns[1:], True))
    return table + BEST_NOTE + csv_link(texts, f"normzoo-{set_name.replace('/', '-')}-robustness.csv")


def explain(frame: pd.DataFrame, summary: pd.DataFrame, corruption: str) -> str:
    """What the chart shows, in words, for those who cannot see it; and why; as HTML."""
    kind = CORRUPTIONS.get(corruption)
    if kind is None:
        shown, of_what = summary[["variant", "clean", "mean", "kept"]], f"over all {frame['corruption'].nunique()} kinds"
    else:
        harmed = frame[frame["corruption"] == corruption].groupby("variant", sort=False)["accuracy"].mean()
        shown = summary.assign(mean=summary["variant"].map(harmed))
        shown = shown.assign(kept=(shown["mean"] / shown["clean"]).where(shown["clean"] > 0, 0.0))
        levels = ", ".join(f"{level:g}" for level in kind.levels)
        of_what = f"for {kind.title} ({kind.setting}: {levels})"
    ordered = shown.sort_values("kept", ascending=False)
    kept = ", ".join(
        f"{short_name(row.variant)} {100 * row.kept:.1f}% ({100 * row.clean:.2f} → {100 * row.mean:.2f})"
        for row in ordered.itertuples()
    )
    parts = [f"Kept of the clean accuracy, mean {of_what}, most first: {kept}."]
    if kind is None:
        parts.append(_hardest(frame))
    parts.append(_reason(frame))
    seeds = ", ".join(str(seed) for seed in sorted(frame["seed"].unique()))
    parts.append(f"Measured on one run of each network, the one whose weights are packaged (seed {seeds}).")
    names = cards.names(summary["variant"].tolist())
    return f'{names}<div class="explanation">{"".join(f"<p>{html.escape(part)}</p>" for part in parts)}</div>'


def _hardest(frame: pd.DataFrame) -> str:
    """Which kind of harm costs all of them together most, and which least."""
    kept = frame.groupby("corruption", sort=False)["kept"].mean().sort_values()
    worst, least = ((CORRUPTIONS[key].title if key in CORRUPTIONS else key) for key in (kept.index[0], kept.index[-1]))
    return (
        f"Hardest for the networks shown is {worst}: on average they keep {100 * kept.iloc[0]:.1f}% of their clean accuracy. "
        f"Easiest is {least}: {100 * kept.iloc[-1]:.1f}%."
    )


def _reason(frame: pd.DataFrame) -> str:
    """What one would expect of less contrast, and whether it is so here."""
    expected = (
        "Why the norm matters: a norm that takes its mean and spread from the one photo in front of it divides a loss of "
        "contrast out again behind the first layer. One that remembers averages from training, or none, hands it on."
    )
    kept = frame[frame["corruption"] == "contrast"].groupby("variant", sort=False)["kept"].mean()
    alone = {variant: share for variant, share in kept.items() if _sees_one_photo(str(variant))}
    others = {variant: share for variant, share in kept.items() if variant not in alone}
    if not alone or not others:
        return expected
    if min(alone.values()) > max(others.values()):
        verdict = "So it is here"
    elif max(alone.values()) < min(others.values()):
        verdict = "It is the other way round here"
    else:
        verdict = "Here it is so in part only"
    told = "; ".join(
        f"{words} keep " + ", ".join(f"{short_name(str(variant))} {100 * share:.1f}%" for variant, share in shares.items())
        for words, shares in (("norms over one photo", alone), ("the others", others))
    )
    return f"{expected} {verdict}: under less contrast, {told} of their clean accuracy."


def _sees_one_photo(variant: str) -> bool:
    """Whether all statistics of the variant's norm are over one photo."""
    norm = NORM_LAYERS.get(variant.removeprefix("torch-").partition("-bs")[0])
    pooled = getattr(norm, "pooled_axes", ())
    return bool(pooled) and all("N" not in axes for axes in pooled)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
