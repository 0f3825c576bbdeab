"""What other statistics change: measured, stored, checked, said."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from normzoo.analysis.comparisons import robustness
from normzoo.analysis.findings.companies import (
    BATCHES,
    BY_CLASS,
    RANDOM,
    SWAPPED,
    companies_finding,
    own_statistics_lines,
    read_companies,
)
from normzoo.errors import CheckpointError
from normzoo.images.corruptions import corrupt_pixels
from normzoo.images.preprocess import to_input
from normzoo.pretrained.checkpoint import open_checkpoint
from normzoo.pretrained.registry import get_model_set
from tests.support.tiny import load_tiny
from training.data.dataset import load_once
from training.measurements.companies import CASES, check_companies, measure_companies
from training.report.sections.companies import companies_section


@pytest.fixture
def folder(packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(shutil.copytree(packaged, tmp_path / "all"))
    monkeypatch.setenv("NORMZOO_DATA", str(root / "data"))
    load_once.cache_clear()
    return root / "checkpoints"


def test_what_is_measured_is_stored_checked_and_told(folder: Path) -> None:
    assert "Not measured" in companies_section(get_model_set("tiny/quick", folder)).blocks[0]
    (table,) = measure_companies(folder, lambda line: None)
    model_set = get_model_set("tiny/quick", folder)
    assert companies_section(model_set).summary.startswith("with statistics of the corrupted images themselves")
    assert robustness(model_set, ["gn"]).frame["variant"].unique().tolist() == ["gn"]
    frame = read_companies(model_set, model_set.main_variants)
    assert list(frame["variant"].unique()) == ["bn", "bin"], "the norms that remember, and no others"
    assert len(frame) == 2 * len(CASES)
    checkpoint, data = open_checkpoint(folder / "tiny/quick/bn"), load_tiny(folder.parent / "data")
    network = checkpoint.load_model()
    assert check_companies(checkpoint, network, data) == []

    # One figure by hand: training mode, on all images together, under the strongest loss of contrast.
    pixels = torch.from_numpy(corrupt_pixels(data.pixels["val"].numpy(), "contrast", 5))
    logits = network.train()(to_input(pixels, torch.tensor(data.mean), torch.tensor(data.std)))
    expected = float((logits.argmax(1) == data.labels["val"]).double().mean())
    row = frame[
        (frame["variant"] == "bn") & (frame["images"] == "contrast") & (frame["severity"] == 5) & (frame["batch"] == "all")
    ]
    assert row["accuracy"].item() == pytest.approx(expected, abs=1e-6)
    network.eval()

    text = table.read_text()
    lines = text.splitlines()
    lines[1 + CASES.index(("clean", 0, BY_CLASS, "8"))] = "quick,bn,0,clean,0,by class,8,7.5,"
    table.write_text("\n".join(lines) + "\n")
    assert "has accuracy 7.5" in check_companies(checkpoint, network, data)[0]
    table.write_text("\n".join(lines[:-1] + lines[2:3]).replace("quick,bn,0,clean,0,random,32", "quick,bn,0,clean,0,random,33"))
    assert "does not hold every" in check_companies(checkpoint, network, data)[0]
    table.write_text(text.replace(",random,", ",random", 1))
    with pytest.raises(CheckpointError, match=r"companies\.csv is damaged"):
        read_companies(model_set, model_set.main_variants)


def make_rows(variant: str, corrupted: float) -> list[dict]:
    rows = []
    for images, severity in (("clean", 0), *(("contrast", each) for each in (1, 2, 3, 4, 5))):
        for order in (RANDOM, BY_CLASS) if images == "clean" else (RANDOM,):
            for batch in BATCHES:
                accuracy = corrupted if severity else 0.2 if order == BY_CLASS else 0.7
                swapped = "0.25" if (order, batch, severity) == (RANDOM, "8", 0) else "0.125"
                is_swapped = order == RANDOM and not severity and batch != "all"
                row = {"variant": variant, "images": images, "severity": severity, "order": order, "batch": batch}
                rows.append(row | {"accuracy": accuracy, SWAPPED: swapped if is_swapped else ""})
    return rows


def test_of_a_network_whose_remembered_figures_are_missing_nothing_is_said() -> None:
    remembered = pd.DataFrame([{"variant": "bn", "corruption": "contrast", "severity": 1, "accuracy": 0.3, "clean": 0.8}])
    finding = companies_finding(pd.DataFrame([*make_rows("bn", 0.65), *make_rows("bin", 0.65)]), remembered)
    assert "BN from 30.0 to 65.0%" in finding.paragraphs[0]
    assert "BIN" not in finding.paragraphs[0]


def test_the_finding_says_what_is_lifted_what_it_costs_and_that_answers_depend_on_company() -> None:
    companies = pd.DataFrame(make_rows("bn", 0.65))
    remembered = pd.DataFrame(
        [
            {"variant": variant, "corruption": "contrast", "severity": severity, "accuracy": accuracy, "clean": 0.8}
            for variant, accuracy in (("bn", 0.3), ("gn", 0.5), ("ln", 0.4))
            for severity in range(1, 6)
        ]
    )
    finding = companies_finding(companies, remembered)
    lifted, costs, company = finding.paragraphs
    assert "BN from 30.0 to 65.0%" in lifted
    assert "The best of the networks that look at one image at a time, GN, has 50.0%." in lifted
    assert "BN −10.0" in costs
    assert "BN from 70.0 to 20.0%" in costs
    assert "BN answers 25.0% of the images differently at batch 8, 12.5% at 32" in company
    (table,) = finding.tables
    assert table.texts["Remembered"] == ["80.00", "80.00", "30.00"]
    assert table.texts["Batches of 200"] == ["70.00", "20.00", "65.00"]
    assert companies_finding(companies.iloc[:0], remembered).summary == ""
    lines = own_statistics_lines(companies)
    np.testing.assert_allclose(lines.sort_values("severity")["accuracy"], [0.7] + [0.65] * 5)
