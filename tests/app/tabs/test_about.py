"""The tab About without a browser: nothing on it is typed in that the files or the running page know."""

import pytest

from normzoo import NORM_LAYERS
from normzoo.app.core.catalog import Catalog
from normzoo.app.tabs import about
from normzoo.nn.registry import describe_norm
from tests.support.checkpoints import change_json, save_variant, save_zoo
from tests.support.visitor import words

PROVENANCE = {
    "recipe": {"name": "paper", "lr": 1e-4, "batch_size": 32, "horizontal_flip": False},
    "data": {"name": "toys <b>", "digest": "abc123", "note": "Made up.", "num_train": 12, "num_val": 4},
    "precision": "bf16",
    "runs": [
        {"seed": 0, "sessions": [{"command": "train a", "commit": "74d3303c9ce593", "device": "a chip", "seconds": 1800}]},
        {"seed": 1, "sessions": [{"command": "train a", "commit": None, "device": "another", "seconds": 5400.0}]},
    ],
    "weights_sha256": "15b7e96914f81bdbdeb96b5a",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    change_json(save_variant(root, "bn", "toy/told", seeds=(0, 1)) / "metrics.json", provenance=PROVENANCE)
    small = {**PROVENANCE, "recipe": {**PROVENANCE["recipe"], "batch_size": 8}}
    change_json(save_variant(root, "bn-bs8", "toy/told") / "metrics.json", provenance=small)
    (save_variant(root, "gn", "toy/told") / "metrics.json").write_text("{")
    return root


@pytest.fixture(scope="module")
def told(root):
    return Catalog(root).get("toy/told")


def test_every_norm_is_explained_with_its_formula_axes_and_paper():
    shown = words(about.describe_norms())
    for norm in map(describe_norm, NORM_LAYERS):
        assert norm.title in shown
        assert norm.formula in shown
        assert norm.axes in shown
        assert norm.paper in shown
    assert about.describe_norms().count("https://arxiv.org/abs/") == sum(
        "arXiv:" in describe_norm(key).paper for key in NORM_LAYERS
    )


def test_recipe_data_and_runs_are_those_of_the_files(told):
    shown = words(about.describe_training(told, ["bn"]))
    assert "toys <b> , 12 training and 4 validation images. Made up. Digest of the images: abc123" in shown
    assert "lr 0.0001" in shown
    assert "horizontal flip no" in shown
    assert "BN 0, 1 2 2.00 a chip, another bf16 74d3303c9ce5, – train a 15b7e96914f81bdb" in shown
    assert "python -m training study --recipe told --norm bn --data toy --seeds 0,1" in shown
    assert "python -m training study --recipe told --norm bn --data toy --batch-size 8" in shown


def test_a_recipe_that_differs_says_for_whom(told):
    assert "batch size 32 (BN); 8 (BN batch 8)" in words(about.describe_training(told, ["bn", "bn-bs8"]))


def test_what_cannot_be_read_is_named_and_what_is_not_there_is_a_dash(root, told):
    assert "GN is unavailable" in words(about.describe_training(told, ["bn", "gn"]))
    bare = words(about.describe_training(Catalog(root).get("toy/paper"), list(NORM_LAYERS)))
    assert "do not name the training data" in bare
    assert "no recipe" in bare
    assert "Choose at least one network" in words(about.describe_training(told, []))
