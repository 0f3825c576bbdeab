"""The network of a run: norms that see a part of each batch at a time, weights to start from."""

import copy

import pytest
import torch
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.pretrained.registry import load_model
from training.config import Run, changed_recipe
from training.engine.step import make_network

PARTS, SIZE = 4, 8


def networks(norm: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """A network as it is, the same one with ghost batches, and a batch."""
    torch.manual_seed(0)
    network = make_network(Run("toy", changed_recipe("paper", {}), norm), 4)
    in_parts = make_network(Run("toy", changed_recipe("paper", {"statistics_batch": SIZE}), norm), 4)
    in_parts.load_state_dict(network.state_dict())
    return network, in_parts, torch.randn(PARTS * SIZE, 3, 16, 16)


@pytest.mark.parametrize("norm", ["bn", "bin", "torch-bn"])
def test_statistics_are_those_of_a_part_in_training_alone(norm):
    network, in_parts, x = networks(norm)
    each = torch.cat([copy.deepcopy(network)(part) for part in x.split(SIZE)])
    torch.testing.assert_close(in_parts(x), each)
    assert not torch.allclose(network(x), each, atol=1e-3)
    assert int(in_parts.norm1.num_batches_tracked) == PARTS
    network.load_state_dict(in_parts.state_dict())
    torch.testing.assert_close(in_parts.eval()(x), network.eval()(x))


def test_a_norm_over_one_image_does_not_change():
    network, in_parts, x = networks("gn")
    torch.testing.assert_close(in_parts(x), network(x))


def test_the_recipe_says_it_and_older_ones_stay_as_they_were():
    recipe = changed_recipe("paper", {"statistics_batch": SIZE})
    assert recipe.name == f"paper,statistics_batch={SIZE}"
    assert recipe.to_dict()["statistics_batch"] == SIZE
    assert "statistics_batch" not in changed_recipe("paper", {}).to_dict()


def test_a_network_starts_from_packaged_weights_of_its_norm_with_a_new_last_layer(packaged, monkeypatch):
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(packaged / "checkpoints"))
    recipe = changed_recipe("paper", {"start_from": "tiny/quick", "depth": 8})
    assert recipe.name == "paper,depth=8,start_from=tiny+quick"
    start = load_model(packaged / "checkpoints/tiny/quick/bn").network.state_dict()
    found = make_network(Run("toy", recipe, "bn"), 7).state_dict()
    assert found["fc.weight"].shape[0] == 7
    assert all(torch.equal(found[key], start[key]) for key in start if not key.startswith("fc."))
    for changes, norm, said in [({}, "in", "has no in to start from"), ({"depth": 14}, "bn", "depth 14, got 8")]:
        with pytest.raises(ConfigError, match=said):
            make_network(Run("toy", recipe.changed(**changes), norm), 7)
    with pytest.raises(ConfigError, match="no/such"):
        make_network(Run("toy", recipe.changed(start_from="no/such"), "bn"), 7)
