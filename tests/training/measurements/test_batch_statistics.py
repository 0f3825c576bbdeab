"""Batch statistics at test time: measured, stored, checked."""

import re
import shutil
from pathlib import Path

import pytest
import torch

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
from normzoo.images.corruptions import corrupt_pixels
from normzoo.images.preprocess import to_input
from normzoo.pretrained.checkpoint import open_checkpoint
from normzoo.pretrained.registry import get_model_set
from tests.support.tiny import load_tiny
from training.measurements.batch_statistics import CASES, check_batch_statistics, measure_batch_statistics


@pytest.fixture
def folder(packaged, tmp_path, monkeypatch):
    root = Path(shutil.copytree(packaged, tmp_path / "all"))
    monkeypatch.setenv("NORMZOO_DATA", str(root / "data"))
    return root / "checkpoints"


def test_what_is_measured_is_stored_checked_and_found(folder):
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

    lines = table.read_text().splitlines()
    written = {"8": "0.25", "32": "0.125"}
    shares = [
        ",".join([*line.split(",")[:9], written[line.split(",")[6]], line.rpartition(",")[2]])
        if re.match(r"quick,bn,0,clean,0,random,(8|32),0,", line)
        else line
        for line in lines
    ]
    table.write_text("\n".join(shares) + "\n")
    assert "BN 25.0% (batches of 8), 12.5% (of 32)" in batch_statistics_finding(Evidence(model_set, [model_set])).notes[-1]
    place = next(i for i, line in enumerate(lines) if line.startswith("quick,bn,0,clean,0,by class,8,0,"))
    damaged = [*lines[:place], "quick,bn,0,clean,0,by class,8,0,7.5,,", *lines[place + 1 :]]
    table.write_text("\n".join(damaged) + "\n")
    assert "has accuracy 7.5" in check_batch_statistics(checkpoint, network, data)[0]
    table.write_text("\n".join(lines[:-3]) + "\n")
    assert "lacks corruptions" in check_batch_statistics(open_checkpoint(folder / "tiny/quick/bin"), network, data)[0]
    table.write_text("\n".join([lines[0], lines[1].replace(",random,", ",random").replace(",by class,", ",by class")]) + "\n")
    with pytest.raises(CheckpointError, match=r"batch_statistics\.csv is damaged"):
        read_batch_statistics(model_set, model_set.main_variants)
