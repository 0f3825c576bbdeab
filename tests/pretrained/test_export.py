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

PHOTOS = Path(normzoo.__file__).parent / "app" / "photos"
SET = "tiny-imagenet-25/strong"


@pytest.mark.process  # the exporter takes seconds
def test_the_file_takes_photos_and_names_the_class(tmp_path, capsys):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    path, photo = tmp_path / "bin.onnx", next(PHOTOS.glob("*.jpg"))
    assert main(["export", str(path), "--model-set", SET, "--photos", str(photo)]) == 0
    assert "on 1 images" in capsys.readouterr().out
    assert [each.name for each in tmp_path.iterdir()] == ["bin.onnx"]
    session = runtime.InferenceSession(path)
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    models, image = normzoo.load_models(SET, ["bin"]), normzoo.load_image(photo)
    x = np.asarray(to_pixels(image, 32), np.float32).transpose(2, 0, 1)[None] / 255
    (logits,) = session.run(None, {"images": np.concatenate([x, x, x])})
    answer, probability = normzoo.predict(models, image)["bin"].top[0]
    probabilities = torch.from_numpy(logits).softmax(1)[2]
    assert classes[int(probabilities.argmax())] == answer
    assert float(probabilities.max()) == pytest.approx(probability, abs=1e-4)


def test_what_cannot_be_exported_is_explained(tmp_path, monkeypatch, capsys):
    assert main(["export", str(tmp_path / "nothing.onnx"), "--model-set", SET]) == 2
    assert "nothing" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["export", str(tmp_path / "x.onnx"), "--variant", "bn", "--model-set", SET]) == 2
    assert "pip install onnx onnxscript onnxruntime" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
