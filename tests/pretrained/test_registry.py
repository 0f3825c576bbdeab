"""What is in `checkpoints/`: listed by name, a broken variant with its reason, half-written ones never; `normzoo export`."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from normzoo import list_model_sets, load_image, load_model, load_models, predict
from normzoo.__main__ import main
from normzoo.app.core.examples import EXAMPLES
from normzoo.errors import CheckpointError, ConfigError
from normzoo.images.preprocess import to_pixels
from normzoo.pretrained.registry import checkpoints_root, get_model_set
from tests.support.tiny import CLASSES, PACKAGED

SET = "tiny/quick"
MAIN = ["bn", "bin", "gn"]


@pytest.fixture
def root(packaged, tmp_path):
    """A copy of the packaged checkpoints, to be changed."""
    return Path(shutil.copytree(packaged / "checkpoints", tmp_path / "checkpoints"))


def test_variants_come_in_the_zoos_order_and_then_the_others(root):
    (model_set,) = list_model_sets(root)
    assert model_set.name == SET
    assert list(model_set.checkpoints) == [*MAIN, "torch-bn"]
    assert set(model_set.checkpoints) == set(PACKAGED)
    assert (model_set.main_variants, model_set.problems) == (MAIN, {})


def test_main_variants_are_loaded_and_others_on_demand(root):
    model_set = get_model_set(SET, root)
    assert list(load_models(model_set)) == MAIN
    model = load_models(model_set, ["torch-bn"])["torch-bn"]
    assert isinstance(model.network.norm1, torch.nn.BatchNorm2d)
    assert (model.variant, model.config.classes) == ("torch-bn", CLASSES)


def test_root_is_the_environments_or_the_packages(root, monkeypatch):
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(root))
    assert checkpoints_root() == root
    assert [model_set.name for model_set in list_model_sets()] == [SET]
    assert list(load_models(SET)) == MAIN
    monkeypatch.delenv("NORMZOO_CHECKPOINTS")
    assert checkpoints_root() == Path(__file__).parents[2] / "checkpoints"


def test_one_folder_is_loaded_wherever_it_is(root, tmp_path):
    shutil.copytree(root / SET / "bin", tmp_path / "download")
    assert load_model(tmp_path / "download").variant == "bin"
    assert load_model(str(tmp_path / "download")).variant == "bin"
    for nowhere in (tmp_path / "nowhere", "no/where", "checkpoints/tiny/quick/bin"):
        with pytest.raises(CheckpointError, match=r"There is no folder .* hf://user/repo/"):
            load_model(nowhere)


@pytest.mark.parametrize("reason", ["config.json is missing", "This folder has the checkpoint of 'gn'"])
def test_broken_variant_is_reported_and_the_others_load(reason, root):
    shutil.rmtree(root / SET / "bn")
    shutil.copytree(root / SET / "gn", root / SET / "bn")
    if "missing" in reason:
        (root / SET / "bn/config.json").unlink()
    model_set = get_model_set(SET, root)
    assert list(model_set.problems) == ["bn"]
    assert reason in model_set.problems["bn"]
    assert str(root) not in model_set.problems["bn"]
    assert list(load_models(model_set)) == ["bin", "gn"]
    with pytest.raises(CheckpointError, match="tiny/quick/bn: "):
        load_models(model_set, ["bn"])


def test_broken_weights_are_reported_when_they_are_loaded(root):
    (root / SET / "bn" / "model.safetensors").write_bytes(b"")
    model_set = get_model_set(SET, root)
    with pytest.raises(CheckpointError, match=r"model.safetensors is not the file that was packaged"):
        load_models(model_set, ["bn"])
    assert list(load_models(model_set, ["bin", "gn"])) == ["bin", "gn"]


def test_half_written_and_foreign_things_are_never_listed(root):
    (root / SET / "bn").rename(root / SET / ".bn-abc123")
    shutil.copytree(root / "tiny", root / ".tiny-abc123")
    (root / SET / "notes.txt").write_text("not a folder")
    (root / "README.md").write_text("not a folder")
    (model_set,) = list_model_sets(root)
    assert (list(model_set.checkpoints), model_set.problems) == (["bin", "gn", "torch-bn"], {})


def test_empty_or_missing_root_has_no_sets(tmp_path):
    assert list_model_sets(tmp_path) == list_model_sets(tmp_path / "nowhere") == []
    with pytest.raises(ConfigError, match=r"There is no trained network in .*\. Set NORMZOO_CHECKPOINTS, or --checkpoints"):
        get_model_set(SET, tmp_path)


def test_unknown_names_are_refused_with_the_choices(root, monkeypatch):
    with pytest.raises(ConfigError, match=r"Unknown model set 'tiny/slow'. Choose one of: tiny/quick\."):
        get_model_set("tiny/slow", root)
    with pytest.raises(ConfigError, match=r"Unknown variant 'ln'. Choose one of: bn, bin, gn, torch-bn\."):
        load_models(get_model_set(SET, root), ["ln"])
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(root))
    for name in ("tiny/slow", "slow", "tiny/quick/bn", "user/repository/tiny/quick/bn"):  # none is looked up on the Hub
        with pytest.raises(ConfigError, match=r"Choose one of: tiny/quick\."):
            load_models(name)


@pytest.mark.process  # the exporter takes seconds
def test_an_exported_file_takes_photos_and_names_the_class(packaged, tmp_path, capsys):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    path, photo = tmp_path / "bin.onnx", EXAMPLES[0].path
    zoo = ["--model-set", SET, "--checkpoints", str(packaged / "checkpoints")]
    assert main(["export", str(path), *zoo, "--photos", str(photo)]) == 0
    assert "on 1 images" in capsys.readouterr().out
    assert [each.name for each in tmp_path.iterdir()] == ["bin.onnx"]
    session = runtime.InferenceSession(path)
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    models, image = load_models(get_model_set(SET, packaged / "checkpoints"), ["bin"]), load_image(photo)
    x = np.asarray(to_pixels(image, 16), np.float32).transpose(2, 0, 1)[None] / 255
    (logits,) = session.run(None, {"images": np.concatenate([x, x, x])})
    answer, probability = predict(models, image)["bin"].top[0]
    probabilities = torch.from_numpy(logits).softmax(1)[2]
    assert classes[int(probabilities.argmax())] == answer
    assert float(probabilities.max()) == pytest.approx(probability, abs=1e-4)


def test_what_cannot_be_exported_is_explained(packaged, tmp_path, monkeypatch, capsys):
    zoo = ["--model-set", SET, "--checkpoints", str(packaged / "checkpoints")]
    assert main(["export", str(tmp_path / "nothing.onnx"), *zoo]) == 2
    assert "nothing" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["export", str(tmp_path / "x.onnx"), "--variant", "bn", *zoo]) == 2
    assert "pip install onnx onnxscript onnxruntime" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
