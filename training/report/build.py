"""RESULTS.md and its figures, written from stored files alone."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from normzoo.analysis.commands import PACKAGE
from normzoo.analysis.findings.other_trainings import sized_sets
from normzoo.errors import CheckpointError
from normzoo.plotting.static import to_svg
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.pretrained.serialization import read_text
from training.config import RECIPES
from training.report.markdown import Drawing, Section, bullets, details
from training.report.overview import README, overview_table, overview_words, read_readme, readme_with
from training.report.runs import missing_runs
from training.report.sections.batches import batches_section
from training.report.sections.calibration import calibration_section
from training.report.sections.companies import companies_section
from training.report.sections.curves import curves_section
from training.report.sections.finals import finals_section
from training.report.sections.original import original_section
from training.report.sections.other_trainings import other_trainings_sections
from training.report.sections.pairs import pairs_section
from training.report.sections.parity import parity_section
from training.report.sections.robustness import robustness_section
from training.report.sections.search import STRONG, search_section
from training.report.sections.unknowns import unknowns_section

RESULTS = Path("RESULTS.md")
FIGURES = Path("docs/results")
REMAKE = "python -m training report"


def write_report(checkpoints: Path, out: Path, say: Callable[[str], None] = print) -> None:
    """Write `RESULTS.md` and `docs/results/` under `out`; figures there that are no longer part of it are deleted.

    Raises:
        CheckpointError: nothing is packaged, or a file cannot be written.
    """
    model_sets = read_model_sets(checkpoints)
    chapters = build_chapters(checkpoints, model_sets)
    drawings = _drawings(chapters)
    try:
        for drawing in drawings:
            path = out / FIGURES / f"{drawing.name}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_svg(drawing.draw(), f"{drawing.title}. Data {drawing.digest}."), encoding="utf-8")
        for path in _superfluous(out, drawings):
            path.unlink()
        (out / RESULTS).write_text(_text(chapters, model_sets, out), encoding="utf-8")
        if (readme := read_readme(out)) is not None:
            (out / README).write_text(readme_with(readme, _overview(model_sets)), encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"Could not write the report ({error}).") from error
    say(f"{out / RESULTS} and {len(drawings)} figures")


def check_report(checkpoints: Path, out: Path) -> list[str]:
    """What of the stored report is not what `write_report` would write, in words; nothing is drawn for it.

    A figure is taken for what it was if its file is the one that `RESULTS.md` names by its hash, and drawn from today's data.

    Raises:
        CheckpointError: nothing is packaged.
    """
    model_sets = read_model_sets(checkpoints)
    chapters = build_chapters(checkpoints, model_sets)
    drawings = _drawings(chapters)
    problems = [f"{path.relative_to(out)} is no part of it" for path in _superfluous(out, drawings)]
    try:
        stored = read_text(out / RESULTS)
    except CheckpointError:
        return [*problems, f"{RESULTS} is missing"]
    texts = {RESULTS: (stored, _text(chapters, model_sets, out))}
    if (readme := read_readme(out)) is not None:
        texts[README] = (readme, readme_with(readme, _overview(model_sets)))
    stale = {path: _first_difference(*both) for path, both in texts.items()}
    return problems + [f"{path}, {difference}" for path, difference in stale.items() if difference]


def read_model_sets(checkpoints: Path) -> list[ModelSet]:
    """Return what is packaged, by data set and in the order of the recipes.

    Raises:
        CheckpointError: nothing is.
    """
    model_sets = [model_set for model_set in list_model_sets(checkpoints) if model_set.checkpoints]
    if not model_sets:
        raise CheckpointError(f"No packaged checkpoint under {checkpoints}. Make them with: {PACKAGE}")
    order = list(RECIPES)
    return sorted(
        model_sets, key=lambda each: (each.data, order.index(r) if (r := each.recipe) in order else len(order), each.name)
    )


def build_chapters(checkpoints: Path, model_sets: list[ModelSet]) -> dict[str, list[Section]]:
    """Return heading -> its sections, for every data set and recipe that is packaged."""
    by_name = {model_set.name: model_set for model_set in model_sets}
    chapters = {f"`{name}`": _recipe_sections(model_set, model_sets) for name, model_set in by_name.items()}
    # Other sizes of the same images are compared with them, and are no study of their own.
    usual = [model_set for model_set in model_sets if sized_sets(model_set, model_sets)[0] is model_set]
    for data in dict.fromkeys(model_set.data for model_set in usual):
        sections = []
        if paper := by_name.get(f"{data}/paper"):
            sections.append(original_section(paper, by_name.get(f"{data}/paper-sgd")))
        sections.append(search_section(checkpoints, data))
        missing = missing_runs(data, model_sets)
        sections.append(Section("What is missing", [bullets(missing) if missing else "Every run of the study is stored."]))
        chapters[f"`{data}`, all recipes"] = sections
    return chapters


def _recipe_sections(model_set: ModelSet, model_sets: list[ModelSet]) -> list[Section]:
    recipe = model_set.recipe
    sections = [finals_section(model_set), curves_section(model_set)]
    if len(model_set.main_variants) > 1:
        sections.insert(1, pairs_section(model_set))
    if model_set.main_variants:
        sections.append(calibration_section(model_set))
    sections += other_trainings_sections(model_set, model_sets)
    if recipe == "paper":
        sections.append(batches_section(model_set))
    if recipe.startswith("paper"):
        sections.append(parity_section(model_set))
    if recipe in ("paper", STRONG):
        sections.append(robustness_section(model_set))
        sections.append(companies_section(model_set))
        sections.append(unknowns_section(model_set))
    return sections


def _drawings(chapters: dict[str, list[Section]]) -> list[Drawing]:
    blocks = [block for sections in chapters.values() for section in sections for block in section.blocks]
    return [block for block in blocks if isinstance(block, Drawing)]


def _superfluous(out: Path, drawings: list[Drawing]) -> list[Path]:
    wanted = {out / FIGURES / f"{drawing.name}.svg" for drawing in drawings}
    return sorted(set((out / FIGURES).rglob("*.svg")) - wanted)


def _overview(model_sets: list[ModelSet]) -> str:
    """The table of the README and of the first page: of the first data set that is packaged, and of its other image sizes."""
    data = model_sets[0].data
    first = [each for each in model_sets if data in (each.data, sized_sets(each, model_sets)[0].data)]
    return f"{overview_table(first)}\n\n{overview_words(first)}"


def _text(chapters: dict[str, list[Section]], model_sets: list[ModelSet], out: Path) -> str:
    """All of `RESULTS.md`: a page to read, then everything, folded; each figure with the hashes of its data and of its file."""
    figure = next((drawing for drawing in _drawings(chapters) if drawing.name.endswith("/accuracy")), None)
    parts = [
        "# Results",
        f"Written by `{REMAKE}` from the files in `checkpoints/`; `{REMAKE} --check` fails when it is no longer what they say. "
        "Figures and verdicts follow from the numbers. The validation images were watched during training; there is no third "
        "set.",
        "## In short",
        _overview(model_sets),
        *([_figure(figure, out)] if figure else []),
        bullets(
            f"{heading}: {section.summary}" for heading, sections in chapters.items() for section in sections if section.summary
        ),
    ]
    for heading, sections in chapters.items():
        parts.append(f"## {heading}")
        for section in sections:
            blocks = [_figure(block, out) if isinstance(block, Drawing) else block for block in section.blocks]
            parts += [block for block in details(section.title, *blocks) if isinstance(block, str)]
    return "\n\n".join(parts) + "\n"


def _figure(drawing: Drawing, out: Path) -> str:
    path = FIGURES / f"{drawing.name}.svg"
    try:
        stored = hashlib.sha256((out / path).read_bytes()).hexdigest()[:16]
    except OSError:
        stored = "missing"
    return f"![{drawing.title}]({path.as_posix()})\n<!-- data {drawing.digest}, file {stored} -->"


def _first_difference(stored: str, fresh: str) -> str | None:
    """Where two texts part, in words; None where they are the same."""
    if stored == fresh:
        return None
    old, new = stored.splitlines(), fresh.splitlines()
    number = next((i for i, (left, right) in enumerate(zip(old, new, strict=False)) if left != right), min(len(old), len(new)))
    line = new[number] if number < len(new) else "nothing more"
    what = "its figure is another" if re.match(r"<!-- data", line) else f"it should read {line[:120]!r}"
    return f"line {number + 1}: {what}"
