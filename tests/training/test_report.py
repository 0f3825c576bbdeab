"""RESULTS.md: written from stored files, and stale when they change."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from normzoo.errors import CheckpointError
from normzoo.findings import original_study as original
from normzoo.pretrained.checkpoint import METRICS
from tests.support.checkpoints import save_variant, write_answers
from training.__main__ import main
from training.report import BEGIN, DATA, END, check_report, write_report


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Checkpoints of two networks, and the report on them."""
    root = tmp_path_factory.mktemp("report")
    for variant in ("bn", "in"):
        save_variant(root / "checkpoints", variant)
    write_report(root / "checkpoints", root, lambda line: None)
    return root


@pytest.fixture
def report(written, tmp_path):
    """A copy of it that may be changed."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_report_has_its_charts_and_numbers_and_is_not_stale(written):
    text = (written / "RESULTS.md").read_text()
    charts = sorted((written / "docs/results/toy").glob("*.svg"))
    assert {"accuracy", "pairs", "robustness", "calibration"} <= {path.stem for path in charts}
    assert all(f"(docs/results/toy/{path.name})" in text for path in charts)
    assert all(path.stat().st_size < 100_000 for path in charts)
    assert check_report(written / "checkpoints", written) == []
    rows = pd.read_csv(written / DATA)
    stored = json.loads((written / "checkpoints/toy/paper/bn" / METRICS).read_text())["final"]["train"]["macro_f1"]["values"]
    chosen = rows[(rows["variant"] == "bn") & (rows["split"] == "train") & (rows["metric"] == "macro_f1")]
    assert chosen["value"].tolist() == pytest.approx(stored)
    assert set(rows["condition"]) >= {"clean", "contrast 5"}


def test_a_changed_stored_figure_makes_it_stale(report, capsys):
    write_answers(report / "checkpoints/toy/paper/bn", [0, 1, 2, 3], [0, 1, 2, 3])
    assert check_report(report / "checkpoints", report)[0].startswith("RESULTS.md, line ")
    assert main(["report", "--check", f"--checkpoints={report / 'checkpoints'}", f"--out={report}"]) == 2
    assert "python -m training report" in capsys.readouterr().err


def test_a_changed_or_missing_chart_makes_it_stale(report):
    path = report / "docs/results/toy/accuracy.svg"
    path.write_text(path.read_text().replace("stroke", "strake", 1))
    assert "its chart is another" in check_report(report / "checkpoints", report)[0]
    path.unlink()
    assert "its chart is another" in check_report(report / "checkpoints", report)[0]


def test_writing_again_gives_the_same_bytes_and_deletes_what_is_no_part_of_it(report):
    before = {path: path.read_bytes() for path in [report / "RESULTS.md", *report.glob("docs/results/toy/*.svg")]}
    extra = report / "docs/results/toy/old/bn.svg"
    extra.parent.mkdir()
    extra.write_text("<svg/>")
    assert check_report(report / "checkpoints", report) == ["docs/results/toy/old/bn.svg is not part of it"]
    write_report(report / "checkpoints", report, lambda line: None)
    assert {path: path.read_bytes() for path in before} == before
    assert not extra.exists()


def test_the_readme_has_a_table_of_the_projects_own_networks_and_of_nobody_elses(tmp_path):
    readme, before = tmp_path / "README.md", f"# Toy\n\n{BEGIN}\nold\n{END}\n\nThe end.\n"
    readme.write_text(before)
    save_variant(tmp_path / "checkpoints", "bn", "my-pets/strong,epochs=4")
    save_variant(tmp_path / "checkpoints", "gn", "my-pets/strong,epochs=4")
    write_report(tmp_path / "checkpoints", tmp_path, lambda line: None)
    assert readme.read_text() == before
    assert check_report(tmp_path / "checkpoints", tmp_path) == []
    text = (tmp_path / "RESULTS.md").read_text()
    assert re.search(r"\| BN, batch normalization \| 25\.0 \(n = 1\) \|", text), (
        "its own report has rows for whatever recipe it has"
    )
    assert "Original study" not in text
    for variant in ("bn", "gn"):
        save_variant(tmp_path / "checkpoints", variant, "tiny-imagenet-25/paper")
    assert any(problem.startswith("README.md, line ") for problem in check_report(tmp_path / "checkpoints", tmp_path))
    write_report(tmp_path / "checkpoints", tmp_path, lambda line: None)
    text = readme.read_text()
    assert "| BN, batch normalization |" in text
    assert "my-pets" not in text
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert "old" not in text


def test_the_packaged_report_fits_in_400_lines():
    assert len(Path("RESULTS.md").read_text().splitlines()) <= 400


def test_nothing_packaged_is_an_error_and_no_report_is_stale(tmp_path, written):
    with pytest.raises(CheckpointError, match="No packaged checkpoint"):
        write_report(tmp_path, tmp_path)
    assert check_report(written / "checkpoints", tmp_path)[0] == "RESULTS.md, it is missing"


def test_the_original_is_read_in_our_units():
    bn, at_8 = original.final_figures("bn"), original.batch_size_figures("bn", 8)
    assert (bn["val"]["accuracy"], bn["val"]["loss"]) == (pytest.approx(0.72292), 0.030)  # the loss as printed
    assert original.nats(0.03, 32) == pytest.approx(0.96)
    assert (original.batch_size_figures("bn", 32)["loss"], at_8["accuracy"]) == (0.032, pytest.approx(0.69684196))
    assert original.final_figures("bn-bs8") is original.batch_size_figures("bn", 64) is None
