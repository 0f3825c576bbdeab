"""Norms that see a part of each batch at a time."""

import copy

import pytest
import torch
from torch import Tensor, nn

from training.config import Run, changed_recipe
from training.engine.network import make_network

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
