"""Test images of a person: measured as validation images are, and never trained on."""

import pytest
from PIL import Image

from normzoo.pretrained.checkpoint import open_checkpoint
from tests.support.own_images import silent
from tests.support.tiny import CLASSES, load_tiny
from training.__main__ import main
from training.data.image_folder import load_folder


@pytest.fixture
def folder(packaged, tmp_path_factory):
    """The validation images of the tiny set as files of `test/`."""
    data, folder = load_tiny(packaged / "data"), tmp_path_factory.mktemp("mine")
    for number, (pixels, label) in enumerate(zip(data.pixels["val"].numpy(), data.labels["val"].tolist(), strict=True)):
        (folder / "test" / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "test" / CLASSES[label] / f"{number}.png")
    return folder


def test_figures_are_those_of_the_same_images_as_validation_images(folder, packaged, capsys):
    (folder / "test" / CLASSES[0] / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    command = ["test", str(folder), "--set=tiny/quick", f"--checkpoints={packaged / 'checkpoints'}"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "torn.png" in printed
    rows = dict(line.split(maxsplit=1) for line in printed.splitlines() if line.startswith(("BN", "BIN", "GN")))
    for variant in ("bn", "bin", "gn"):
        final = open_checkpoint(packaged / "checkpoints/tiny/quick" / variant).metrics["final"]["val"]
        accuracy, _, _, macro_f1 = rows[variant.upper()].split()
        assert (accuracy, macro_f1) == tuple(f"{100 * final[name]['values'][0]:.1f}" for name in ("accuracy", "macro_f1"))


def test_a_class_that_is_not_known_is_named(folder, packaged, capsys):
    (folder / "test" / "midnight").mkdir()
    assert main(["test", str(folder), "--set=tiny/quick", f"--checkpoints={packaged / 'checkpoints'}"]) == 2
    assert "midnight" in capsys.readouterr().err


def test_training_does_not_look_at_them(folder, tmp_path):
    (folder / "test").rename(folder / "train")
    before = load_folder(folder, 16, silent, tmp_path / "before")
    (folder / "test" / CLASSES[0]).mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(folder / "test" / CLASSES[0] / "black.png")
    assert load_folder(folder, 16, silent, tmp_path / "after").digest == before.digest
