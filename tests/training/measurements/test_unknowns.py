"""How sure networks are of things they do not know: measured, stored, checked, said."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from normzoo.analysis.findings.unknowns import (
    TOGETHER,
    UNKNOWN_SIZE,
    UNKNOWNS_COLUMNS,
    Unknowns,
    read_unknowns,
    unknown_words,
    unknowns_finding,
)
from normzoo.errors import CheckpointError
from normzoo.pretrained.checkpoint import open_checkpoint
from normzoo.pretrained.registry import get_model_set
from training.data.dataset import load, load_once, write_cache
from training.measurements import unknowns
from training.measurements.unknowns import _unknown_pixels, check_together, check_unknowns, measure_unknowns

CLASSES = ("airplane", "bird", "deer", "frog", "horse")


@pytest.fixture
def folder(packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoints of tiny networks, and made-up images of unknown things."""
    root = Path(shutil.copytree(packaged, tmp_path / "all"))
    draw = np.random.default_rng(0)
    pixels = {split: draw.integers(0, 256, (25, UNKNOWN_SIZE, UNKNOWN_SIZE, 3), dtype=np.uint8) for split in ("train", "val")}
    labels = {split: np.arange(25) % len(CLASSES) for split in ("train", "val")}
    description = {"format_version": 1, "name": "cifar-10", "classes": CLASSES, "image_size": UNKNOWN_SIZE, "digest": "0" * 64}
    description |= {"mean": (0.5,) * 3, "std": (0.25,) * 3, "note": "Made up."}
    write_cache(root / f"data/cifar-10-{UNKNOWN_SIZE}px", description, pixels, labels)
    monkeypatch.setenv("NORMZOO_DATA", str(root / "data"))
    monkeypatch.setattr(unknowns, "ASKED", {"tiny"})
    load_once.cache_clear()
    return root / "checkpoints"


def test_what_is_measured_is_stored_and_checked(folder: Path) -> None:
    (table,) = measure_unknowns(folder, lambda line: None)
    model_set = get_model_set("tiny/quick", folder)
    variant = model_set.main_variants[0]
    measured = read_unknowns(model_set, model_set.main_variants)
    assert 0 <= measured[variant].auroc <= 1
    checkpoint = open_checkpoint(folder / "tiny/quick" / variant)
    assert check_unknowns(checkpoint, checkpoint.load_model()) == []
    text = table.read_text()
    table.write_text(text.replace(",20,", ",21,", 1))
    assert "unknown 21" in check_unknowns(checkpoint, checkpoint.load_model())[0]
    table.write_text(text.replace(",20,", ",many,", 1))
    with pytest.raises(CheckpointError, match=r"unknowns\.csv is damaged"):
        read_unknowns(model_set, model_set.main_variants)


def test_one_data_set_alone_can_be_measured(folder: Path) -> None:
    shutil.copytree(folder / "tiny", folder / "other")
    assert measure_unknowns(folder, lambda line: None, "tiny") == [folder / "tiny/unknowns.csv"]
    with pytest.raises(CheckpointError, match=r"No packaged checkpoint under .*checkpoints/nothing"):
        measure_unknowns(folder, lambda line: None, "nothing")


def test_of_a_persons_own_classes_nothing_is_taken_for_unknown(folder: Path) -> None:
    shutil.move(folder / "tiny", folder / "my-animals")
    lines: list[str] = []
    assert measure_unknowns(folder, lines.append) == []
    assert "my-animals/quick  left out" in lines[0]


def test_a_measurement_is_used_for_the_weights_that_it_covers_alone(folder: Path) -> None:
    (table,) = measure_unknowns(folder, lambda line: None)
    model_set = get_model_set("tiny/quick", folder)
    assert set(read_unknowns(model_set, model_set.main_variants)) == {*model_set.main_variants, TOGETHER}
    first, *others = model_set.main_variants
    sha = model_set.checkpoints[first].metrics["provenance"]["weights_sha256"]
    table.write_text(table.read_text().replace(f"{first}:{sha[:12]}", f"{first}:{'0' * 12}"))
    assert set(read_unknowns(model_set, model_set.main_variants)) == set(others)


def test_what_does_not_part_known_from_unknown_gives_no_threshold() -> None:
    found = unknowns._parted(np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.8]))
    assert (found["auroc"], found["threshold"], found["unknown_below"]) == (0.0, "", "")
    assert unknown_words(0.01, Unknowns(0.4, float("nan"), float("nan"), float("nan"), 0.5), 6, 25) == ""


def test_only_the_four_classes_that_no_network_knows_are_asked(folder: Path) -> None:
    (table,) = measure_unknowns(folder, lambda line: None)
    assert {line.split(",")[4] for line in table.read_text().splitlines()[1:]} == {"20"}  # of 25, five are birds


MEASURED = {"bn": Unknowns(0.8, 0.9, 0.4, 0.9, 0.7), "gn": Unknowns(0.7, 0.8, 0.5, 0.8, 0.9)}
ALL = Unknowns(0.81, 0.6, 0.3, 0.78, float("nan"))


@pytest.mark.parametrize(("largest", "said"), [(0.59, True), (0.6, False), (0.98, False)])
def test_it_is_said_where_the_networks_together_are_as_unsure_as_of_unknown_things(largest: float, said: bool) -> None:
    words = unknown_words(largest, ALL, 6, 25)
    assert bool(words) == said
    if said:
        assert words.startswith("This may be none of the 25 things that the 6 networks know")
        assert "Below 60% are 78% of photos of other things, and 30% of photos of what they know." in words


def test_together_counts_the_mean_of_all_and_only_where_all_are_asked(folder: Path) -> None:
    measure_unknowns(folder, lambda line: None)
    model_set = get_model_set("tiny/quick", folder)
    together = read_unknowns(model_set, model_set.main_variants)[TOGETHER]
    assert np.isnan(together.noise_confidence)
    probabilities = []
    for variant in model_set.main_variants:
        logits, _ = model_set.checkpoints[variant].val_logits()
        probabilities.append(logits[min(logits)].double().softmax(1).numpy())
    largest = np.mean(probabilities, axis=0).max(1)
    assert together.known_below == pytest.approx(float((largest < together.threshold - 1e-6).mean()), abs=1.5 / len(largest))
    assert TOGETHER not in read_unknowns(model_set, model_set.main_variants[:1])


def test_what_is_stored_of_all_together_is_checked(folder: Path) -> None:
    (table,) = measure_unknowns(folder, lambda line: None)
    model_set = get_model_set("tiny/quick", folder)
    assert check_together(model_set) == []
    lines = table.read_text().splitlines()
    row = next(position for position, line in enumerate(lines) if TOGETHER in line)
    cells = lines[row].split(",")
    cells[UNKNOWNS_COLUMNS.index("threshold")] = "0.987"
    lines[row] = ",".join(cells)
    table.write_text("\n".join(lines) + "\n")
    assert check_together(model_set)[0].startswith("unknowns.csv has threshold 0.987, found is ")


def test_unknown_images_are_enlarged_for_networks_that_take_larger_ones(folder: Path) -> None:
    data = load("cifar-10")
    small, large = _unknown_pixels(data, data.image_size), _unknown_pixels(data, 2 * data.image_size)
    assert torch.equal(large[:, ::2, ::2], small)
    assert torch.equal(large[:, 1::2, 1::2], small)


def test_the_finding_names_the_best_and_the_surest_of_noise() -> None:
    finding = unknowns_finding({**MEASURED, TOGETHER: ALL}, 1250, 4000)
    assert finding.summary.endswith("BN 0.80 and GN 0.70 (±0.02, 95% over images; n = 1).")
    assert "On uniform noise GN is surest: 90.0%" in finding.paragraphs[1]
    assert unknowns_finding({}, 0, 0).summary == ""
