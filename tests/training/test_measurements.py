"""Out-of-distribution images, and batch statistics at test time: measured, stored, checked."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from normzoo.analysis.ood import ENSEMBLE, FALSE_ALARMS, UNKNOWN_SIZE, read_ood, read_ood_differences
from normzoo.analysis.robustness import (
    BY_CLASS,
    CLEAN,
    MIXED,
    by_severity_with_batches,
    mean_accuracy_with,
    read_batch_statistics,
)
from normzoo.errors import CheckpointError
from normzoo.findings import Evidence
from normzoo.findings.batch_statistics import batch_statistics_finding
from normzoo.findings.ood import ood_finding
from normzoo.images.corruptions import corrupt_pixels
from normzoo.images.preprocess import to_input
from normzoo.pretrained.checkpoint import open_checkpoint
from normzoo.pretrained.registry import get_model_set
from tests.support.tiny import load_tiny
from training.data.dataset import load, load_once, write_cache
from training.measurements import ood
from training.measurements.batch_statistics import CASES, check_batch_statistics, measure_batch_statistics
from training.measurements.ood import _unknown_pixels, check_ood, measure_ood

CLASSES = ("airplane", "bird", "deer", "frog", "horse")


@pytest.fixture
def folder(packaged, tmp_path, monkeypatch):
    """Checkpoints of tiny networks, and made-up images of unknown classes."""
    root = Path(shutil.copytree(packaged, tmp_path / "all"))
    draw = np.random.default_rng(0)
    pixels = {split: draw.integers(0, 256, (25, UNKNOWN_SIZE, UNKNOWN_SIZE, 3), dtype=np.uint8) for split in ("train", "val")}
    labels = {split: np.arange(25) % len(CLASSES) for split in ("train", "val")}
    about = {"name": "cifar-10", "classes": CLASSES, "digest": "0" * 64, "note": "Made up."}
    write_cache(root / f"data/cifar-10-{UNKNOWN_SIZE}px", about, pixels, labels)
    monkeypatch.setenv("NORMZOO_DATA", str(root / "data"))
    monkeypatch.setattr(ood, "ASKED", {"tiny", "other"})
    load_once.cache_clear()
    return root / "checkpoints"


def test_detection_is_measured_stored_checked_and_found(folder):
    model_set = get_model_set("tiny/quick", folder)
    assert ood_finding(Evidence(model_set, [model_set])) is None
    (table,) = measure_ood(folder, lambda line: None)
    measured = read_ood(model_set, model_set.main_variants)
    assert set(measured) == {*model_set.main_variants, ENSEMBLE}
    assert set(read_ood(model_set, model_set.main_variants[:1])) == set(model_set.main_variants[:1])
    assert {each.unknown for each in measured.values()} == {20}, "of 25, five are birds, which are among nobody's unknown"
    pairs = read_ood_differences(model_set, model_set.main_variants)
    assert all(each.auroc == pytest.approx(measured[a].auroc - measured[b].auroc, abs=2e-6) for (a, b), each in pairs.items())
    assert len(pairs) == len(model_set.main_variants) * (len(model_set.main_variants) - 1) / 2
    finding = ood_finding(Evidence(model_set, [model_set]))
    assert len(finding.tables[0].numbers["Network"]) == len(measured)
    assert check_ood(model_set) == []

    text = table.read_text()
    table.write_text(text.replace(",20,", ",21,", 1))
    assert "unknown 21" in check_ood(model_set)[0]
    table.write_text(text.replace(",20,", ",many,", 1))
    with pytest.raises(CheckpointError, match=r"ood\.csv is missing or damaged"):
        read_ood(model_set, model_set.main_variants)


def test_a_measurement_is_used_for_the_weights_that_it_covers_alone(folder):
    (table,) = measure_ood(folder, lambda line: None)
    model_set = get_model_set("tiny/quick", folder)
    first, *others = model_set.main_variants
    sha = model_set.checkpoints[first].metrics["provenance"]["weights_sha256"]
    table.write_text(table.read_text().replace(f"{first}:{sha[:12]}", f"{first}:{'0' * 12}"))
    assert set(read_ood(model_set, model_set.main_variants)) == set(others)
    assert not any(first in pair for pair in read_ood_differences(model_set, model_set.main_variants))


def test_one_data_set_alone_can_be_measured(folder):
    shutil.copytree(folder / "tiny", folder / "other")
    assert measure_ood(folder, lambda line: None, "tiny") == [folder / "tiny/ood.csv"]
    with pytest.raises(CheckpointError, match=r"No packaged checkpoint under .*checkpoints/nothing"):
        measure_ood(folder, lambda line: None, "nothing")


def test_of_a_persons_own_classes_nothing_is_taken_for_unknown(folder):
    shutil.move(folder / "tiny", folder / "my-animals")
    lines = []
    assert measure_ood(folder, lines.append) == []
    assert "my-animals/quick  skipped" in lines[0]


def test_the_threshold_flags_few_known_images_and_is_judged_on_others():
    rng = np.random.default_rng(0)
    known, unknown = rng.beta(5, 2, 2000), rng.beta(2, 3, 500)
    found = ood._threshold(known, unknown, 0.9)
    fitted, judged = known[::2], known[1::2]
    assert 0.5 * FALSE_ALARMS < (fitted < found["threshold"]).mean() < FALSE_ALARMS
    assert found["known_flagged"] == (judged < found["threshold"]).mean()
    assert found["unknown_flagged"] == (unknown < found["threshold"]).mean()
    assert found["fpr95"] == pytest.approx((unknown >= np.quantile(known, 0.05)).mean())
    for area, count in ((0.5, 2000), (0.9, 16)):  # nothing to tell, or too few images to promise anything
        assert ood._threshold(known[:count], unknown, area)["threshold"] == ""


def test_unknown_images_are_enlarged_for_networks_that_take_larger_ones(folder):
    data = load("cifar-10")
    small, large = _unknown_pixels(data, data.image_size), _unknown_pixels(data, 2 * data.image_size)
    assert torch.equal(large[:, ::2, ::2], small)
    assert torch.equal(large[:, 1::2, 1::2], small)


def test_batch_statistics_are_measured_stored_checked_and_found(folder):
    model_set = get_model_set("tiny/quick", folder)
    assert batch_statistics_finding(Evidence(model_set, [model_set])) is None
    (table,) = measure_batch_statistics(folder, lambda line: None)
    frame = read_batch_statistics(model_set, model_set.main_variants)
    assert list(frame["variant"].unique()) == ["bn", "bin"], "the norms with running statistics, and no others"
    assert len(frame) == 2 * len(CASES)
    checkpoint, data = open_checkpoint(folder / "tiny/quick/bn"), load_tiny(folder.parent / "data")
    network = checkpoint.load_model()
    assert check_batch_statistics(checkpoint, network, data) == []

    # One figure by hand: training mode, on all images together, under the strongest loss of contrast.
    pixels = torch.from_numpy(corrupt_pixels(data.pixels["val"].numpy(), "contrast", 5))
    logits = network.train()(to_input(pixels, torch.tensor(data.mean), torch.tensor(data.std)))
    expected = float((logits.argmax(1) == data.labels["val"]).double().mean())
    assert mean_accuracy_with(frame, "bn", "contrast", "all") != mean_accuracy_with(frame, "bn", "contrast", "nothing")
    row = frame[(frame["variant"] == "bn") & (frame["images"] == "contrast") & (frame["severity"] == 5)]
    row = row[(row["batch"] == "all") & (row["source_weight"] == 0)]
    assert row["accuracy"].item() == pytest.approx(expected, abs=1e-6)
    network.eval()

    found = batch_statistics_finding(Evidence(model_set, [model_set]))
    numbers = found.tables[0].numbers
    place = numbers["Network, images"].index("BN, corrupted, mixed")
    assert numbers["Batches of 8"][place] == pytest.approx(100 * mean_accuracy_with(frame, "bn", MIXED, "8"))
    place = numbers["Network, images"].index("BIN, clean, sorted by class")
    assert numbers["Batches of 32"][place] == pytest.approx(100 * mean_accuracy_with(frame, "bin", CLEAN, "32", BY_CLASS))
    assert by_severity_with_batches(frame)["severity"].tolist() == 2 * [0, 1, 2, 3, 4, 5]

    changed = frame[(frame["variant"] == "bn") & (frame["batch"] == "32")]["changed"].dropna()
    assert f"{100 * changed.iloc[0]:.1f}% (of 32)" in found.notes[-1]
    lines = table.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("quick,bn,0,clean,0,by class,8,0,"))
    damaged = [*lines[:place], "quick,bn,0,clean,0,by class,8,0,7.5,,", *lines[place + 1 :]]
    table.write_text("\n".join(damaged) + "\n")
    assert "has accuracy 7.5" in check_batch_statistics(checkpoint, network, data)[0]
    table.write_text("\n".join(lines[:-3]) + "\n")
    assert "lacks corruptions" in check_batch_statistics(open_checkpoint(folder / "tiny/quick/bin"), network, data)[0]
    table.write_text("\n".join([lines[0], lines[1].replace(",random,", ",random").replace(",by class,", ",by class")]) + "\n")
    with pytest.raises(CheckpointError, match=r"batch_statistics\.csv is missing or damaged"):
        read_batch_statistics(model_set, model_set.main_variants)
