"""RESULTS.md, its charts and results.csv, written from the findings of the stored files."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from normzoo.analysis.ood import read_ood
from normzoo.analysis.results import METRICS, SPLITS
from normzoo.analysis.robustness import read_batch_statistics, robustness
from normzoo.analysis.statistics import Runs, accuracy
from normzoo.errors import CheckpointError
from normzoo.findings import OF_A_SET, Evidence, Finding, ResultTable, find_all
from normzoo.findings.finding import DEFAULT_DATA, PACKAGE, mean_sd, where
from normzoo.findings.learning_rate import best_rates, rated, rated_sets
from normzoo.findings.original_study import final_figures, reproduces
from normzoo.formatting import listed, to_csv
from normzoo.nn.registry import NORM_LAYERS
from normzoo.plotting.spec import Chart, Heatmap
from normzoo.pretrained.checkpoint import OOD_TABLE, TABLES
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.pretrained.serialization import read_text
from normzoo.variants import describe_variant, short_name

RESULTS, README = Path("RESULTS.md"), Path("README.md")
FIGURES = Path("docs/results")
DATA = FIGURES / "results.csv"
REMAKE = "python -m training report"
BEGIN, END = "<!-- results: written by `python -m training report` -->", "<!-- /results -->"


@dataclass(frozen=True)
class Report:
    """Contents of the report: path -> text, and path -> chart."""

    texts: dict[Path, str]
    charts: dict[Path, Chart | Heatmap]


def write_report(checkpoints: Path, out: Path, log: Callable[[str], None] = print) -> None:
    """Write `RESULTS.md`, `docs/results/` and the README's table under `out`; delete obsolete charts."""
    from normzoo.plotting import matplotlib  # slow to import, and not needed to check

    report = build_report(checkpoints, out)
    for path, chart in report.charts.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        svg = matplotlib.to_svg(matplotlib.draw(chart), f"{chart.title}. Data {digest(chart)}.")
        (out / path).write_text(svg, encoding="utf-8")
    for path in superfluous(out, report):
        path.unlink()
    # Again: it names the charts by what was drawn just now.
    for path, text in build_report(checkpoints, out).texts.items():
        (out / path).write_text(text, encoding="utf-8")
    log(f"{out / RESULTS} and {len(report.charts)} charts")


def check_report(checkpoints: Path, out: Path) -> list[str]:
    """Return the differences of the stored report from what `write_report` would write; draws nothing.

    A chart is up to date if its file and its data have the hashes in `RESULTS.md`.
    """
    report = build_report(checkpoints, out)
    problems = [f"{path.relative_to(out)} is not part of it" for path in superfluous(out, report)]
    for path, text in report.texts.items():
        try:
            difference = first_difference(read_text(out / path), text)
        except CheckpointError:
            difference = "it is missing"
        problems += [f"{path}, {difference}"] if difference else []
    return problems


def build_report(checkpoints: Path, out: Path) -> Report:
    """Return the report; charts are identified by the hashes of their files under `out`."""
    model_sets = [each for each in list_model_sets(checkpoints) if each.checkpoints]
    if not model_sets:
        raise CheckpointError(f"No packaged checkpoint under {checkpoints}. Package runs with: {PACKAGE}")
    charts = dict[Path, Chart | Heatmap]()
    parts = [
        "# Results",
        f"Written by `{REMAKE}` from the files in `checkpoints/`; `{REMAKE} --check` fails if it is out of date. "
        f"[{DATA.name}]({DATA.as_posix()}) has every number, one row per measurement.",
    ]
    for evidence in collections(model_sets):
        parts += [*_chapter(evidence, charts, out)]
    texts = {RESULTS: "\n\n".join(parts) + "\n", DATA: to_csv(tidy(model_sets), lineterminator="\n")}
    own = [evidence for evidence in collections(model_sets) if evidence.shown.data.startswith(DEFAULT_DATA)]
    try:
        readme = read_text(out / README)
    except CheckpointError:
        readme = ""
    if own and BEGIN in readme:
        texts[README] = readme_with(readme, "\n\n".join(overview(own[0])))
    return Report(texts, charts)


def collections(model_sets: Sequence[ModelSet]) -> list[Evidence]:
    """Return the evidence of every collection of images, its most accurate set shown."""
    found, left = list[Evidence](), [each for each in model_sets if each.main_variants] or list(model_sets)
    while left:
        together = Evidence(left[0], model_sets)
        shown = max((each for each in left if each in together.model_sets), key=lambda each: _mean_accuracy(together, each))
        found.append(Evidence(shown, model_sets))
        left = [each for each in left if each not in found[-1].model_sets]
    return found


def _mean_accuracy(evidence: Evidence, model_set: ModelSet) -> float:
    """Mean over the norms; lower for an incomplete set."""
    runs = evidence.runs(model_set)
    return sum(map(accuracy, runs.values())) / len(runs) - (len(runs) < 2) if runs else -2.0


def _chapter(evidence: Evidence, charts: dict[Path, Chart | Heatmap], out: Path) -> Iterator[str]:
    """Yield the blocks on one collection of images: overview, findings, and headlines of its other sets."""
    yield f"## {evidence.shown.data}"
    yield from overview(evidence)
    for finding in find_all(evidence):
        yield from _finding(finding, evidence, charts, out)
    for other in evidence.model_sets:
        if other is not evidence.shown and len(other.main_variants) > 1 and "," not in other.recipe:
            there = Evidence(other, evidence.model_sets)
            makers = [make for key, make in OF_A_SET.items() if key != "learning-curves"]
            headlines = [f"{each.title}: {each.headline}" for make in makers if (each := make(there))]
            yield f"### The same findings: {where(other)}\n{bullets(headlines)}"


def _finding(finding: Finding, evidence: Evidence, charts: dict[Path, Chart | Heatmap], out: Path) -> Iterator[str]:
    yield f"### {finding.title}\n**{finding.headline}**"
    if finding.chart:
        path = FIGURES / evidence.shown.data / f"{finding.key}.svg"
        charts[path] = finding.chart
        hashes = f"<!-- data {digest(finding.chart)}, file {_file_hash(out / path)} -->"
        yield f"![{finding.chart.title}]({path.as_posix()}) {hashes}"
    yield from (f"{each.caption}.\n\n{table(each)}" for each in finding.tables)
    again = f"Reproduce with {listed([f'`{each}`' for each in finding.commands])}."
    folded = [*finding.notes, " ".join([*finding.method, again])]
    yield f"<details><summary>Notes, method, commands</summary>\n\n{bullets(folded)}\n</details>"


def overview(evidence: Evidence) -> list[str]:
    """Return a table of every norm in every set of a collection, each at its best learning rate."""
    columns, several_rates = dict[str, dict[str, str]](), False
    for model_set in sorted(evidence.model_sets, key=lambda each: -_mean_accuracy(evidence, each)):
        recipe = re.sub(r",lr=[^,]+", "", model_set.recipe)
        rates = rated_sets(Evidence(model_set, evidence.model_sets), recipe) if recipe == model_set.recipe else {}
        if len(model_set.main_variants) < 2 or recipe != model_set.recipe:
            continue
        found, _ = rated(Evidence(model_set, evidence.model_sets), recipe) if len(rates) > 1 else ([], None)
        title = f"{model_set.image_size}×{model_set.image_size}, `{recipe}` (%)"
        if found:
            several_rates = True
            best = best_rates(found)
            columns[title] = {key: f"{_with_n(each.runs)}, learning rate {each.rate:g}" for key, each in best.items()}
        else:
            columns[title] = {key: _with_n(runs) for key, runs in evidence.runs(model_set).items()}
    if any(map(reproduces, evidence.model_sets)):
        there = {key: figures for key in NORM_LAYERS if (figures := final_figures(key))}
        columns["Original study (%)"] = {key: f"{100 * (each['val']['accuracy'] or 0):.1f}" for key, each in there.items()}
    if not columns:
        columns = {"Validation accuracy (%)": {key: _with_n(runs) for key, runs in evidence.shown_runs.items()}}
    keys = [key for key in NORM_LAYERS if any(key in column for column in columns.values())]
    keys += [key for column in columns.values() for key in column if key not in keys]
    shown = ResultTable("")
    shown.add("Norm", [f"{short_name(key)}, {describe_variant(key)}" for key in dict.fromkeys(keys)])
    for title, column in columns.items():
        shown.add(title, [column.get(key) for key in dict.fromkeys(keys)])
    checkpoint = next(iter(evidence.shown.checkpoints.values()))
    images, classes = len(checkpoint.val_logits()[1]), len(checkpoint.config.classes)
    words = f"Accuracy on {images:,} validation images of {classes} classes; ± is the standard deviation between n runs."
    words += " If several learning rates were tried, each norm is shown at its best." if several_rates else ""
    if "Original study (%)" in columns:
        words += (
            " `paper` is the [original study](docs/reproduce.md)'s recipe, `strong` a more accurate one "
            "([both](docs/methods.md)). The study used other images, so only its ranking can be compared."
        )
    return [table(shown), words]


def _with_n(runs: Runs) -> str:
    return f"{mean_sd(runs)} (n = {len(runs)})"


def tidy(model_sets: Iterable[ModelSet]) -> pd.DataFrame:
    """Return every stored number, one row per measurement: `model_set`, `variant`, `seed`, `split`, `condition`, `metric`,
    `value`."""
    rows = list[tuple[Any, ...]]()
    for model_set in model_sets:
        for variant, checkpoint in model_set.checkpoints.items():
            final, seeds = checkpoint.metrics["final"], checkpoint.metrics["seeds"]
            for split in SPLITS:
                for key in METRICS:
                    values = zip(seeds, final[split][key]["values"], strict=True)
                    rows += [(model_set.name, variant, seed, split, "clean", key, value) for seed, value in values]
        frame = robustness(model_set, model_set.checkpoints).frame.to_dict("records")
        for row in frame:
            condition = f"{row['corruption']} {row['severity']}"
            about = (model_set.name, row["variant"], row["seed"], "val", condition)
            rows += [(*about, key, row[key]) for key in ("loss", "accuracy")]
        for row in read_batch_statistics(model_set, model_set.main_variants).to_dict("records"):
            kinds = [f"{name} {row[name]}" for name in ("images", "severity", "order", "batch", "source_weight")]
            condition = f"batch statistics: {', '.join(kinds)}"
            rows.append((model_set.name, row["variant"], row["seed"], "val", condition, "accuracy", row["accuracy"]))
        for variant, found in read_ood(model_set, model_set.main_variants).items():
            for name in TABLES[OOD_TABLE][6:-1]:
                rows.append((model_set.name, variant, "", "val", "out of distribution", name, getattr(found, name)))
    return pd.DataFrame(rows, columns=["model_set", "variant", "seed", "split", "condition", "metric", "value"]).dropna()


def table(shown: ResultTable) -> str:
    """Return a Markdown table without caption; the first column left-aligned, the others right-aligned."""
    header = list(shown.texts)
    rows = [*zip(*shown.texts.values(), strict=True)]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def readme_with(text: str, shown: str) -> str:
    """Return the README with the overview between its marks, if it has any."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{shown}\n\n{END}{after}" if begin and end else text


def digest(chart: Chart | Heatmap) -> str:
    """Return a hash of all that determines a chart except the drawing code."""
    # Rounded, so that the last bits of a processor do not count.
    data = chart.frame().round(4).to_csv(index=False, float_format="%.4g")
    if isinstance(chart, Chart):
        data += repr([(each.colour, each.marker, each.dash, each.is_band) for panel in chart.panels for each in panel.series])
    return hashlib.sha256(f"{chart.title}\n{data}".encode()).hexdigest()[:16]


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return "missing"


def superfluous(out: Path, report: Report) -> list[Path]:
    """Return the charts under `out` that are not part of the report."""
    return sorted(set((out / FIGURES).rglob("*.svg")) - {out / path for path in report.charts})


def first_difference(stored: str, fresh: str) -> str | None:
    """Describe the first difference of two texts; None if they are equal."""
    if stored == fresh:
        return None
    old, new = stored.splitlines(), fresh.splitlines()
    number = next((i for i, (left, right) in enumerate(zip(old, new, strict=False)) if left != right), min(len(old), len(new)))
    line = new[number] if number < len(new) else "nothing more"
    what = "its chart is another" if "<!-- data " in line else f"it should read {line[:120]!r}"
    return f"line {number + 1}: {what}"
