"""Computing packaged figures again: what is as stored passes, whatever was changed is found."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from normzoo.pretrained.checkpoint import CONTRAST_TABLE, TABLES, open_checkpoint
from normzoo.pretrained.serialization import file_sha256, read_rows, read_tensors, write_rows
from tests.support.own_images import silent
from tests.support.tiny import CLASSES, PACKAGED, load_tiny
from training import cli as command_line
from training import verify
from training.data.image_folder import load_folder
from training.measurements import batch_statistics, robustness
from training.measurements.robustness import CHECKED, measure_contrast
from training.package import split_logits
from training.verify import _check_folder, evaluate

pytestmark = pytest.mark.usefixtures("_data")

BN = "tiny/quick/bn"


@pytest.fixture
def folder(packaged, tmp_path):
    """A copy of a packaged checkpoint, to be changed."""
    return Path(shutil.copytree(packaged / "checkpoints" / BN, tmp_path / BN))


def change_metrics(folder, change):
    metrics = json.loads((folder / "metrics.json").read_text())
    change(metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1, ensure_ascii=False) + "\n")


def change_tensors(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_whole_folder_is_checked_by_the_command(packaged, tmp_path):
    shutil.copytree(packaged / "checkpoints", tmp_path, dirs_exist_ok=True)
    lines = []
    assert evaluate(tmp_path, lines.append, workers=1) == []  # several are at work in `make check`
    assert [line.split()[0] for line in lines[:-1]] == sorted(f"tiny/quick/{variant}" for variant in PACKAGED)
    assert not any(verify.WEAKER in line for line in lines)
    assert "--full" in lines[-1]


def test_shares_of_networks_in_a_row_make_the_sample_and_whole_is_all(packaged, monkeypatch):
    done = [[] for _ in range(verify.SHARES)]
    whole = []
    for share, found in ((None, whole), *enumerate(done)):
        with monkeypatch.context() as patch:
            patch.setattr(verify, "split_logits", lambda *given, to=found: to.append(given[2]) or split_logits(*given))
            patch.setattr(verify, "measure", lambda *given, to=found: to.extend(given[3]) or robustness.measure(*given))
            patch.setattr(verify, "check_batch_statistics", lambda *given, to=found: to.extend(given[3]) or [])
            patch.setattr(verify, "check_contrast", lambda *_, to=found: to.append("contrast") or [])
            assert _check_folder(packaged / "checkpoints" / BN, share)[1] == []
    everything = {"train", "val", "contrast", *robustness.ALL, *batch_statistics.CASES}
    assert (len(whole), set(whole)) == (len(everything), everything)
    rest = everything - set(robustness.ALL) - set(batch_statistics.CASES)
    assert {case for found in done for case in found} == {*rest, *robustness.SAMPLE, *batch_statistics.SAMPLE}
    assert all("val" in found and len(found) < len(whole) / 2 for found in done)


def test_difference_fails_the_check_alone(folder, monkeypatch, capsys):
    problems = [f"{BN}: val accuracy differs"]
    monkeypatch.setattr(command_line, "evaluate", lambda *_, **__: problems)
    assert command_line.main(["evaluate"]) == 0
    assert command_line.main(["evaluate", "--check"]) == 2
    assert problems[0] in capsys.readouterr().err


@pytest.mark.parametrize("change", ["none", "stored", *(each for each in CHECKED if "bias" not in each), ""])
def test_contrast_that_is_not_what_the_network_does_is_found(folder, tmp_path, change):
    (table,) = measure_contrast(tmp_path, lambda line: None)
    rows = [row | ({"accuracy": 2} if row["change"] == change else {}) for row in read_rows(table, TABLES[CONTRAST_TABLE])]
    write_rows(table, TABLES[CONTRAST_TABLE], rows)
    problems = _check_folder(folder)[1]
    assert len(problems) == bool(change)
    assert all(f"{CONTRAST_TABLE} has" in problem and repr(change) in problem for problem in problems)


@pytest.mark.parametrize("is_there", [True, False], ids=["other images", "none"])
def test_without_the_images_the_weaker_check_is_said_and_the_full_one_fails(is_there, packaged, tmp_path, monkeypatch):
    shutil.copytree(packaged / "checkpoints", tmp_path / "checkpoints")
    if is_there:
        shutil.copytree(packaged / "data", tmp_path / "data")
        path = tmp_path / "data/tiny-16px/dataset.json"
        path.write_text(path.read_text().replace('"digest": "', '"digest": "0'))
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    lines = []
    assert evaluate(tmp_path / "checkpoints", lines.append, workers=1) == []
    assert [verify.WEAKER in line for line in lines] == [True] * (len(PACKAGED) + 1) + [False]
    assert ("other images" in lines[0]) == is_there
    monkeypatch.setattr(verify, "check_ood", lambda *_: [])
    problems = evaluate(tmp_path / "checkpoints", lines.append, workers=1, full=True)
    assert [problem.partition(":")[0] for problem in problems] == sorted(f"tiny/quick/{variant}" for variant in PACKAGED)


def metrics(change):
    return lambda folder: change_metrics(folder, change)


def logits(change):
    return lambda folder: change_tensors(folder / "val_logits.safetensors", change)


def _weights(folder):
    change_tensors(folder / "model.safetensors", lambda t: t["fc.bias"].add_(1))


def _card(folder):
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("tiny", "huge"))


def history(change):
    def apply(folder):
        lines = change((folder / "history.csv").read_text().splitlines())
        (folder / "history.csv").write_text("\n".join(lines) + "\n")

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (metrics(lambda m: m["final"]["val"]["accuracy"].update(mean=0.99)), "val figures: stored values differ"),
        (metrics(lambda m: m["final"]["train"]["accuracy"].update(mean=0.99)), "stored train accuracy is not the mean"),
        (metrics(lambda m: m["per_class"]["1"][0].update(f1=0.123)), "per_class: stored values differ"),
        (metrics(lambda m: m["confusion_matrix"]["0"][0].reverse()), "confusion_matrix: stored values differ"),
        (metrics(lambda m: m.update(parameters=1)), "parameters: stored and recomputed values differ"),
        (metrics(lambda m: m.update(seeds=[0, 2])), "seeds: stored values differ from those of the logits"),
        (metrics(lambda m: m["final"].pop("val")), "metrics.json has invalid content"),
        (logits(lambda t: t["seed_1"][0].add_(1)), "val_logits.safetensors: stored"),  # the same figures
        (logits(lambda t: t["seed_1"][0, 0].add_(1)), "val figures: stored values differ"),
        (logits(lambda t: t["labels"].copy_(t["labels"].roll(1))), "val figures: stored values differ"),
        (logits(lambda t: t["seed_0"].fill_(torch.nan)), "val figures: stored values differ"),
        (_weights, "model.safetensors is not the file that was packaged"),
        (_card, "card: stored and recomputed values differ"),
        (lambda folder: (folder / "README.md").unlink(), "README.md is missing or damaged"),
        # The first epoch follows from nothing else.
        (history(lambda lines: [lines[0], lines[1].replace("0.", "1.", 1), *lines[2:]]), "history.csv: stored"),
        (history(lambda lines: [*lines[:3], *lines[5:]]), "the history lacks epochs"),
    ],
)
@pytest.mark.parametrize("images", [True, False], ids=["with images", "without"])
def test_changed_folder_is_found(change, message, images, folder, monkeypatch):
    if not images:
        monkeypatch.setenv("NORMZOO_DATA", str(folder / "nowhere"))
    change(folder)
    assert message in "\n".join(_check_folder(folder, 0)[1])


def test_folder_in_the_place_of_another_is_found(folder):
    folder.rename(folder.parent / "gn")
    assert "place: stored and recomputed values differ" in _check_folder(folder.parent / "gn")[1]


def test_weights_that_do_not_make_the_figures_are_found_from_the_images(folder):
    """The weights of another training, with all hashes put right."""
    tensors, metadata = read_tensors(folder / "model.safetensors")
    tensors["fc.weight"] = -tensors["fc.weight"]
    save_file(tensors, folder / "model.safetensors", metadata=metadata)
    sha = file_sha256(folder / "model.safetensors")
    change_metrics(folder, lambda m: m["provenance"].update(weights_sha256=sha))
    found = "\n".join(_check_folder(folder)[1])
    assert "logits from the images are up to" in found
    assert "train loss of seed 0 is" in found
    assert "val loss of seed 0 is" in found


def test_images_for_a_final_test_are_measured_as_validation_images_and_never_trained_on(packaged, tmp_path, capsys):
    data, mine = load_tiny(packaged / "data"), tmp_path / "mine"
    for number, (pixels, label) in enumerate(zip(data.pixels["val"].numpy(), data.labels["val"].tolist(), strict=True)):
        (mine / "test" / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(mine / "test" / CLASSES[label] / f"{number}.png")
    (mine / "test" / CLASSES[0] / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    command = ["test", str(mine), "--set=tiny/quick", f"--checkpoints={packaged / 'checkpoints'}"]
    assert command_line.main(command) == 0
    printed = capsys.readouterr().out
    assert "torn.png" in printed
    rows = dict(line.split(maxsplit=1) for line in printed.splitlines() if line.startswith(("BN", "BIN", "GN")))
    for variant in ("bn", "bin", "gn"):
        final = open_checkpoint(packaged / "checkpoints/tiny/quick" / variant).metrics["final"]["val"]
        accuracy, _, _, macro_f1 = rows[variant.upper()].split()
        assert (accuracy, macro_f1) == tuple(f"{100 * final[name]['values'][0]:.1f}" for name in ("accuracy", "macro_f1"))

    shutil.copytree(mine / "test", mine / "train")
    before = load_folder(mine, 16, silent, tmp_path / "data").digest
    (mine / "test" / "midnight").mkdir()
    assert command_line.main(command) == 2
    assert "midnight" in capsys.readouterr().err
    shutil.rmtree(mine / "test")
    assert load_folder(mine, 16, silent, tmp_path / "data").digest == before
