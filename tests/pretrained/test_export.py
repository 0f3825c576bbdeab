"""`normzoo export bn.onnx`: a file that answers as the network does, or none and the reason."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import normzoo
from normzoo.__main__ import main
from normzoo.images.preprocess import to_pixels
from normzoo.pretrained.registry import get_model_set
from tests.support.checkpoints import save_variant

PHOTOS = Path(normzoo.__file__).parent / "app" / "photos"
SET = "toy/paper"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Options that name a set of two small networks."""
    root = tmp_path_factory.mktemp("zoo")
    for variant in ("bn", "bin"):
        save_variant(root, variant)
    return ["--model-set", SET, "--checkpoints", str(root)]


@pytest.mark.process  # the exporter takes seconds
def test_the_file_takes_photos_and_names_the_class(zoo, tmp_path, capsys):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    path, photo = tmp_path / "bin.onnx", next(PHOTOS.glob("*.jpg"))
    assert main(["export", str(path), *zoo, "--photos", str(photo)]) == 0
    assert "on 1 images" in capsys.readouterr().out
    assert [each.name for each in tmp_path.iterdir()] == ["bin.onnx"]
    session = runtime.InferenceSession(path)
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    models, image = normzoo.load_models(get_model_set(SET, Path(zoo[-1])), ["bin"]), normzoo.load_image(photo)
    x = np.asarray(to_pixels(image, 32), np.float32).transpose(2, 0, 1)[None] / 255
    (logits,) = session.run(None, {"images": np.concatenate([x, x, x])})
    answer, probability = normzoo.predict(models, image)["bin"].top[0]
    probabilities = torch.from_numpy(logits).softmax(1)[2]
    assert classes[int(probabilities.argmax())] == answer
    assert float(probabilities.max()) == pytest.approx(probability, abs=1e-4)


def test_what_cannot_be_exported_is_explained(zoo, tmp_path, monkeypatch, capsys):
    assert main(["export", str(tmp_path / "nothing.onnx"), *zoo]) == 2
    assert "nothing" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["export", str(tmp_path / "x.onnx"), "--variant", "bn", *zoo]) == 2
    assert "pip install onnx onnxscript onnxruntime" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
