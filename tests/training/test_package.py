"""Packaging: from finished runs to folders that hold all that DESIGN.md §5 names."""

import csv
import dataclasses
import importlib.metadata
import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

import normzoo
from normzoo.analysis.results import METRICS
from normzoo.errors import CheckpointError, DataError, TrainingError
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.pretrained.checkpoint import open_checkpoint
from normzoo.pretrained.serialization import file_sha256
from tests.support.checkpoints import save_sized_set
from tests.support.tiny import CLASSES, PACKAGED, RECIPE, load_tiny, train_tiny
from training import package as package_module
from training.cards import folder_card, model_card
from training.data.dataset import hold_out
from training.package import package, rounded

pytestmark = pytest.mark.usefixtures("_data")

FILES = [
    "README.md",
    "config.json",
    "history.csv",
    "metrics.json",
    "model.safetensors",
    "robustness.csv",
    "val_logits.safetensors",
]


@pytest.fixture(params=list(PACKAGED))
def folder(request: pytest.FixtureRequest, packaged: Path) -> Path:
    """Each packaged variant."""
    return packaged / "checkpoints/tiny/quick" / str(request.param)


def read_json(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def silent(line: str) -> None:
    pass


def test_folder_holds_the_files_of_the_design_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert {path.name for path in folder.parent.iterdir()} == set(PACKAGED)


def test_metrics_hold_every_seed_and_their_mean_and_deviation(folder: Path) -> None:
    metrics = read_json(folder / "metrics.json")
    seeds = list(PACKAGED[folder.name])
    assert metrics["seeds"] == seeds
    for split in ("train", "val"):
        for figure in metrics["final"][split].values():
            assert len(figure["values"]) == len(seeds)
            assert figure["mean"] == pytest.approx(sum(figure["values"]) / len(seeds), abs=1e-6)
            assert (figure["sd"] is None) == (len(seeds) == 1)
    assert [each["class"] for each in metrics["per_class"]["0"]] == list(CLASSES)
    assert [sum(row) for row in metrics["confusion_matrix"]["0"]] == [6, 6, 6, 6]


def test_metrics_say_where_they_come_from(folder: Path) -> None:
    provenance = read_json(folder / "metrics.json")["provenance"]
    assert provenance["recipe"] == RECIPE.to_dict()
    assert provenance["precision"] == "fp32"
    assert (provenance["data"]["name"], provenance["data"]["num_train"], provenance["data"]["num_val"]) == ("tiny", 96, 24)
    assert provenance["weights_sha256"] == file_sha256(folder / "model.safetensors")
    assert provenance["history_sha256"] == file_sha256(folder / "history.csv")
    assert provenance["logits_sha256"] == file_sha256(folder / "val_logits.safetensors")
    session = provenance["runs"][0]["sessions"][0]
    assert {"command", "commit", "device", "threads", "python", "packages", "seconds"} <= session.keys()
    assert session["packages"]["torch"] == importlib.metadata.version("torch")


def test_parameters_and_macs_are_the_networks(folder: Path) -> None:
    metrics = read_json(folder / "metrics.json")
    network = normzoo.load_model(folder).network
    assert metrics["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    # A first convolution; two a stage, the second and third at half the size; a linear layer.
    stages = [16 * 16 * 9 * 2 * 16 * 16, 8 * 8 * 9 * (16 * 32 + 32 * 32), 4 * 4 * 9 * (32 * 64 + 64 * 64)]
    assert metrics["macs"] == 16 * 16 * 9 * 3 * 16 + sum(stages) + 64 * 4


def test_history_holds_every_epoch_and_ends_with_the_final_figures(folder: Path) -> None:
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["seed"]), int(row["epoch"]), row["split"]) for row in rows] == [
        (seed, epoch, split) for seed in PACKAGED[folder.name] for epoch in (1, 2) for split in ("train", "val")
    ]
    final = read_json(folder / "metrics.json")["final"]["val"]
    for name in ("loss", "accuracy", "macro_f1", "micro_f1"):
        assert [float(row[name]) for row in rows if (row["epoch"], row["split"]) == ("2", "val")] == final[name]["values"]


def test_logits_are_stored_as_float16_with_the_labels(folder: Path) -> None:
    tensors = load_file(folder / "val_logits.safetensors")
    assert sorted(tensors) == ["labels", *(f"seed_{seed}" for seed in PACKAGED[folder.name])]
    assert {(str(logits.dtype), (*logits.shape,)) for name, logits in tensors.items() if name != "labels"} == {
        ("torch.float16", (24, 4))
    }


def test_card_has_an_index_that_the_hub_reads(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["library_name"], front["pipeline_tag"]) == ("normzoo", "image-classification")
    figures = front["model-index"][0]["results"][0]["metrics"]
    final = read_json(folder / "metrics.json")["final"]["val"]
    assert {figure["name"]: figure["value"] for figure in figures} == {
        name: round(final[name]["mean"], 4) for name in ("accuracy", "macro_f1", "micro_f1")
    }
    assert f"n = {len(PACKAGED[folder.name])} (seed" in text
    assert "torch's own layer" in text or not folder.name.startswith("torch")


def test_unfinished_run_is_named_and_left_out(runs: Path, tmp_path: Path) -> None:
    train_tiny(load_tiny(tmp_path / "data"), runs, "gn", stop_after=1)
    lines: list[str] = []
    written = package(runs, tmp_path / "checkpoints", lines.append)
    assert [path.name for path in written] == ["bn"]
    assert f"left out: {runs / 'tiny/quick/gn/seed-0'} has 1 of 2 epochs" in lines


def test_runs_on_held_out_images_become_a_table(runs: Path, tmp_path: Path) -> None:
    state = train_tiny(hold_out(load_tiny(tmp_path / "data"), 0.25), runs)
    lines: list[str] = []
    assert len(package(runs, tmp_path / "checkpoints", lines.append)) == 1
    with open(tmp_path / "checkpoints/tiny/search.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["recipe"], row["variant"], row["epochs"], row["holdout"]) == ("quick", "bn", "2", "0.25")
    assert float(row["holdout_accuracy"]) == pytest.approx(state.history[-1]["accuracy"], abs=1e-6)


def test_robustness_holds_every_corruption_at_every_severity(folder: Path) -> None:
    with open(folder / "robustness.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["corruption"], int(row["severity"])) for row in rows] == [
        ("0", name, severity) for name in CORRUPTIONS for severity in SEVERITIES
    ]
    accuracies = {(row["corruption"], row["severity"]): float(row["accuracy"]) for row in rows}
    # The made-up classes differ in their brightness alone.
    clean = read_json(folder / "metrics.json")["final"]["val"]["accuracy"]["values"][0]
    assert accuracies["saturation", "1"] >= accuracies["brightness_down", "5"]
    assert accuracies["brightness_down", "5"] < clean


def test_nothing_finished_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"No finished run under .*python -m training study"):
        package(tmp_path, tmp_path / "checkpoints", silent)


def test_missing_images_are_said(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="tiny"):
        package(runs, tmp_path / "checkpoints", silent)


def test_figure_that_is_no_number_is_never_written(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_module, "count_macs", lambda *_: float("nan"))
    with pytest.raises(CheckpointError, match="Could not write"):
        package(runs, tmp_path / "checkpoints", silent)
    assert list((tmp_path / "checkpoints/tiny/quick").iterdir()) == []


def test_figures_are_kept_at_six_decimals() -> None:
    assert rounded([0.123456789, {"small": 1.23456789e-5}, 7, "x", None]) == [0.123457, {"small": 1.23457e-5}, 7, "x", None]


def test_shares_are_rounded_once_when_they_are_shown() -> None:
    exact = 0.5873496  # at six decimals it would be 0.58735, and 58.74 on the screen
    stored = rounded({"macro_f1": {"mean": exact}, "loss": {"mean": exact}})
    assert METRICS["macro_f1"].text(stored["macro_f1"]["mean"]) == "58.73"
    assert stored["loss"]["mean"] == 0.58735


def test_the_folder_of_all_checkpoints_says_what_lies_where(runs: Path, tmp_path: Path) -> None:
    package(runs, tmp_path / "checkpoints", silent)
    text = (tmp_path / "checkpoints/README.md").read_text()
    assert "| `tiny/quick` | a recipe of its own | 1 variant, n = 2 |" in text
    assert "search.csv" in text
    assert "the rates of all its steps sum up to\n0.43" in text


def test_the_folder_of_all_checkpoints_says_what_another_training_is(tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50})
    save_sized_set(tmp_path, "toy-64px", 64, {"bn": 60})
    save_sized_set(tmp_path, "toy", 32, {"in": 45}, name="strong,last_norm=nn")
    text = folder_card(tmp_path)
    assert "| `toy/strong` | the recipe whose networks answer best; the page begins with it | 1 variant, n = 2 |" in text
    assert "| `toy-64px/strong` | `toy/strong` again, on the same photos at 64×64 pixels | 1 variant, n = 2 |" in text
    assert "| `toy/strong,last_norm=nn` | `strong` with last_norm=nn | 1 variant, n = 2 |" in text


def test_the_card_names_another_last_norm(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    config = dataclasses.replace(checkpoint.config, last_norm="nn")
    assert "Its last norm layer is another: no normalization." in model_card(config, checkpoint.metrics)
    assert "last norm layer" not in model_card(checkpoint.config, checkpoint.metrics)
