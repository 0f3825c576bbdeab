"""RESULTS.md: written from stored files, stale when they change, its sentences those of the numbers."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from normzoo.analysis import reference_study as original
from normzoo.analysis.commands import training_commands
from normzoo.analysis.findings.pairs import pairs_finding
from normzoo.analysis.findings.reference import agreement, compare_orders, slips
from normzoo.errors import CheckpointError
from normzoo.nn.registry import NORM_LAYERS
from normzoo.pretrained.checkpoint import LOGITS, METRICS, ROBUSTNESS
from normzoo.pretrained.registry import get_model_set
from normzoo.pretrained.serialization import write_tensors
from tests.support.checkpoints import CLASSES, save_sized_set, save_variant
from training.cli import main
from training.config import get_recipe
from training.package import SEARCH_COLUMNS as COLUMNS
from training.report.build import check_report, write_report
from training.report.overview import BEGIN, END
from training.report.runs import missing_runs, say_n
from training.report.sections.batches import batches_section
from training.report.sections.finals import finals_section
from training.report.sections.pairs import pairs_section
from training.report.sections.parity import parity_section
from training.report.sections.search import chosen_name, search_section

IMAGES = 200


def save_answers(folder: Path, *right: int) -> None:
    """Have every seed get that many of `IMAGES` images right: the first ones."""
    labels = torch.arange(IMAGES) % len(CLASSES)
    stored = {}
    for seed, count in enumerate(right):
        answers = torch.where(torch.arange(IMAGES) < count, labels, (labels + 1) % len(CLASSES))
        stored[f"seed_{seed}"] = torch.nn.functional.one_hot(answers, len(CLASSES)).half()
    write_tensors(folder / LOGITS, {**stored, "labels": labels})


def set_final(folder: Path, split: str, key: str, value: float) -> None:
    metrics = json.loads((folder / METRICS).read_text())
    metrics["final"][split][key] = {"mean": value, "sd": None, "values": [value]}
    (folder / METRICS).write_text(json.dumps(metrics))


def save_sized(root: Path, variant: str, batch_size: int) -> Path:
    return save_variant(root, variant, provenance={"recipe": {"batch_size": batch_size}})


def words(section) -> str:
    return "\n".join(block for block in section.blocks if isinstance(block, str))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Checkpoints of two networks, and the report on them."""
    root = tmp_path_factory.mktemp("report")
    for variant in ("bn", "in"):
        save_variant(root / "checkpoints", variant)
    write_report(root / "checkpoints", root, say=lambda line: None)
    return root


@pytest.fixture
def report(written, tmp_path):
    """A copy of it that may be changed."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_report_has_its_figures_and_is_not_stale(written):
    text = (written / "RESULTS.md").read_text()
    figures = sorted((written / "docs/results/toy/paper").glob("*.svg"))
    assert [path.stem for path in figures] == ["accuracy", "all-train", "all-val", "bn", "in", "reliability", "robustness"]
    assert all(f"(docs/results/toy/paper/{path.name})" in text for path in figures)
    assert all(path.stat().st_size < 100_000 for path in figures)
    assert check_report(written / "checkpoints", written) == []


def test_a_changed_figure_makes_it_stale(report, capsys):
    set_final(report / "checkpoints/toy/paper/bn", "val", "accuracy", 0.9)
    (problem,) = check_report(report / "checkpoints", report)
    assert problem.startswith("RESULTS.md, line ")
    assert main(["report", "--check", f"--checkpoints={report / 'checkpoints'}", f"--out={report}"]) == 2
    assert "python -m training report" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bn", "robustness"])
def test_a_changed_or_missing_drawing_makes_it_stale(report, name):
    path = report / f"docs/results/toy/paper/{name}.svg"
    path.write_text(path.read_text().replace("stroke", "strake", 1))
    assert "figure" in check_report(report / "checkpoints", report)[0]
    path.unlink()
    assert "figure" in check_report(report / "checkpoints", report)[0]


def test_a_changed_curve_or_robustness_makes_it_stale(report):
    path = report / "checkpoints/toy/paper/in" / ROBUSTNESS
    path.write_text(path.read_text().replace("0.45", "0.46", 1))
    assert check_report(report / "checkpoints", report)


def test_writing_again_gives_the_same_bytes_fills_the_readme_and_deletes_what_is_no_part_of_it(report):
    before = {path: path.read_bytes() for path in [report / "RESULTS.md", *report.glob("docs/results/toy/paper/*.svg")]}
    extra, readme = report / "docs/results/toy/old/bn.svg", report / "README.md"
    extra.parent.mkdir()
    extra.write_text("<svg/>")
    assert check_report(report / "checkpoints", report) == ["docs/results/toy/old/bn.svg is no part of it"]
    readme.write_text(f"# Toy\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    assert any(problem.startswith("README.md, line ") for problem in check_report(report / "checkpoints", report))
    write_report(report / "checkpoints", report, say=lambda line: None)
    assert check_report(report / "checkpoints", report) == []
    assert {path: path.read_bytes() for path in before} == before
    assert not extra.exists()
    text = readme.read_text()
    assert "| Norm | `paper` (%) | `paper`, corrupted (%) | Original study (%) |" in text
    assert re.search(r"\| BN, batch normalization \| \d\d\.\d \(n = 1\) \|", text)
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert "old" not in text


def test_other_sizes_of_the_same_images_stand_beside_them_and_are_no_study_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("training.report.build.to_svg", lambda *_: "")  # it is about the words
    save_sized_set(tmp_path / "checkpoints", "toy", 32, {"bn": 50, "in": 20})
    save_sized_set(tmp_path / "checkpoints", "toy-64px", 64, {"bn": 60, "in": 70})
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n")
    write_report(tmp_path / "checkpoints", tmp_path, say=lambda line: None)
    assert "| Norm | `strong` (%) | `strong`, corrupted (%) | `strong` at 64×64 (%) |" in (tmp_path / "README.md").read_text()
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.count("<summary>Larger images</summary>") == 1
    assert "`toy-64px/strong`: from 32×32 to 64×64 pixels validation accuracy changes, in points: IN +50.0 and BN +10.0" in text
    assert "--data toy-64px" in text
    assert re.findall(r"^## `([^`]+)`, all recipes", text, re.MULTILINE) == ["toy"]


def test_nothing_packaged_is_an_error_and_no_report_is_stale(tmp_path, written):
    with pytest.raises(CheckpointError, match="No packaged checkpoint"):
        write_report(tmp_path, tmp_path)
    assert check_report(written / "checkpoints", tmp_path) == ["RESULTS.md is missing"]


def test_n_is_said_for_one_seed_for_three_and_for_a_mixture(tmp_path):
    save_variant(tmp_path, "bn")
    save_variant(tmp_path, "gn", seeds=(0, 1, 2))
    model_set = get_model_set("toy/paper", tmp_path)
    assert say_n(model_set, ["bn"]).startswith("n = 1 (seed 0): each network was trained once")
    assert say_n(model_set, ["gn"]).startswith("n = 3 (seeds 0, 1, 2): figures are means")
    assert say_n(model_set, ["bn", "gn"]).startswith("n = 1 for BN; n = 3 for GN.")
    assert training_commands(model_set, ["gn"])[0].endswith("--norm gn --data toy --seeds 0,1,2")


def test_three_seeds_show_all_values_with_mean_and_deviation(tmp_path):
    save_answers(save_variant(tmp_path, "bn", seeds=(0, 1, 2)), 100, 110, 120)
    text = words(finals_section(get_model_set("toy/paper", tmp_path)))
    assert "50.00, 55.00, 60.00 | 55.00 ± 5.00" in text
    assert "Every figure of every seed" in text
    assert "not recorded" in text  # the toy says nothing of its machine


@pytest.mark.parametrize(("bn", "gn", "said"), [(180, 90, "BN beats GN."), (90, 180, "BN is beaten by GN.")])
def test_who_beats_whom_follows_the_answers(tmp_path, bn, gn, said):
    for variant, right in {"bn": bn, "gn": gn}.items():
        save_answers(save_variant(tmp_path, variant), right)
    section = pairs_section(get_model_set("toy/paper", tmp_path))
    assert said in words(section)
    assert section.summary.startswith("1 of 1 pair ")


def test_a_difference_that_is_likely_and_not_shown_is_named():
    row = {"first": "bn", "n": 3, "difference": 0.03, "high": 0.05, "seed": 0, "only_first": 9, "only_second": 5}
    row |= {"p_value": 0.1, "p_holm": 0.3, "significant": False}
    others = [("gn", 0.01, 3), ("ln", -0.01, 3), ("in", 0.01, 2)]
    frame = pd.DataFrame([row | {"second": name, "low": low, "seeds_agreeing": agree} for name, low, agree in others])
    (told,) = [
        text for text in pairs_finding(frame, ["bn", "gn", "ln", "in"]).paragraphs if text.startswith("The rule is strict")
    ]
    assert told.endswith("leaves out 0: BN and GN.")


def test_equal_networks_are_not_told_apart(tmp_path):
    for variant in ("bn", "gn"):
        save_answers(save_variant(tmp_path, variant), 100)
    assert "BN is not told apart from GN." in words(pairs_section(get_model_set("toy/paper", tmp_path)))


def test_parity_says_what_is_missing_and_whether_the_two_are_told_apart(tmp_path):
    save_answers(save_variant(tmp_path, "bn"), 100)
    lacking = words(parity_section(get_model_set("toy/paper", tmp_path)))
    assert "`torch-bn` is not stored" in lacking
    assert "--norm torch-bn --data toy" in lacking
    folder = save_variant(tmp_path, "torch-bn")
    assert "the same to the last stored digit" in words(parity_section(get_model_set("toy/paper", tmp_path)))
    history = folder / "history.csv"
    history.write_text(history.read_text().replace("0.2,", "0.3,", 1))
    save_answers(folder, 104)
    save_answers(folder, 100)
    assert "they answer every validation image alike" in words(parity_section(get_model_set("toy/paper", tmp_path)))
    save_answers(folder, 104)
    assert "None can be told apart (Holm)" in words(parity_section(get_model_set("toy/paper", tmp_path)))
    save_answers(folder, 180)
    assert "one can be told apart, which rounding alone should rarely do" in words(
        parity_section(get_model_set("toy/paper", tmp_path))
    )


@pytest.mark.parametrize(("loss", "said"), [(2.5, "rises, 1.2500 to 2.5000"), (0.625, "falls, 1.2500 to 0.6250")])
def test_batch_sizes_show_both_losses_and_follow_the_numbers(tmp_path, loss, said):
    set_final(save_sized(tmp_path, "bn-bs8", 8), "train", "loss", 1.25)
    set_final(save_sized(tmp_path, "bn", 32), "train", "loss", 1.25)
    set_final(save_sized(tmp_path, "bn-bs128", 128), "train", "loss", loss)
    text = words(batches_section(get_model_set("toy/paper", tmp_path)))
    assert said in text
    assert f"| {loss / 128:.5f} | 76.21 | 0.00674 | 0.8632 | 1 |" in text
    assert "python -m training study --recipe paper --norm gn --data toy --batch-size 8" in text


def test_orders_same_reversed_tied():
    here = {"bn": 1.0, "in": 2.0, "gn": 3.0}
    assert agreement(here, here).startswith("The same order: 3 of 3 pairs")
    assert agreement(here, {key: -value for key, value in here.items()}).startswith("The reverse order: 0 of 3 pairs")
    assert agreement(here, {**here, "bn": 2.5}).startswith("Not the same order: 2 of 3 pairs")
    assert agreement(here, dict.fromkeys(here, 0.0)).startswith("One of the two has them all equal")
    line = compare_orders("By size", {**here, "in": 1.0}, here)
    assert "ours BN = IN · GN; original BN · IN · GN." in line
    assert "IN (place 2 there, 1 here)" in line
    assert compare_orders("By size", {"bn": 1.0}, {"bn": 1.0}) == ""


def test_missing_runs_are_named_with_the_command_that_makes_them(tmp_path):
    save_variant(tmp_path, "bn")
    lines = missing_runs("toy", [get_model_set("toy/paper", tmp_path)])
    assert lines[0].startswith("`paper`: NN, IN, BIN, GN and LN are not stored. `python -m training study --recipe paper")
    assert any(line.startswith("`strong`") for line in lines)
    assert any("--batch-size 8`" in line for line in lines)


def test_the_search_says_whether_the_recipe_won(tmp_path):
    lacking = words(search_section(tmp_path, "toy"))
    assert "not stored" in lacking
    assert "python -m training study --plan search" in lacking
    strong, other = chosen_name(), "strong-start"
    for best, said in (
        (strong, "`strong` is the best of the 2 that the rule judges"),
        (
            other,
            "place 2 of the 2 that the rule judges, which did not choose it: the best, `strong-start`, is 10.00 points ahead",
        ),
    ):
        row = dict.fromkeys(COLUMNS, 1.0) | {"seed": 0, "holdout": 0.1}
        rows = [
            row | {"recipe": recipe, "variant": variant, "holdout_accuracy": 0.7 if recipe == best else 0.6}
            for recipe in (strong, other)
            for variant in ("bn", "nn")
        ]
        (tmp_path / "toy").mkdir(exist_ok=True)
        pd.DataFrame(rows)[list(COLUMNS)].to_csv(tmp_path / "toy/search.csv", index=False)
        assert said in words(search_section(tmp_path, "toy"))
    rows = [row | {"recipe": strong, "variant": variant, "holdout_accuracy": 0.7} for variant in ("bn", "nn")]
    rows += [row | {"recipe": other, "variant": variant, "holdout_accuracy": 0.6} for variant in NORM_LAYERS]
    pd.DataFrame(rows)[list(COLUMNS)].to_csv(tmp_path / "toy/search.csv", index=False)
    assert f"Not yet trained with all: `{strong}`." in words(search_section(tmp_path, "toy"))


def test_the_original_is_read_in_our_units():
    bn = original.final_figures("bn")
    assert bn is not None
    assert bn["val"]["accuracy"] == pytest.approx(0.72292)
    assert bn["val"]["loss"] == 0.030  # as printed
    assert original.final_figures("bn-bs8") is None
    assert original.final_figures("torch-bn") is not None
    assert original.nats(0.03, 32) == pytest.approx(0.96)
    assert original.fastest_first() == ["bin", "in", "ln", "bn", "nn", "gn"]
    at_32, at_8 = (original.batch_size_figures("bn", size) for size in (32, 8))
    assert at_32 is not None
    assert at_32["loss"] == 0.032
    assert at_8 is not None
    assert at_8["accuracy"] == pytest.approx(0.69684196)
    assert original.batch_size_figures("bn", 64) is None
    assert original.original_study()["protocol"]["final"]["lr"] == get_recipe("paper").lr


def test_every_slip_of_the_original_is_named():
    found = "\n".join(slips())
    for part in ("CosineAnnealingLR", "batch size 8 are, digit for digit", "15.03 nats", "differ in 5", "3.219"):
        assert part in found
