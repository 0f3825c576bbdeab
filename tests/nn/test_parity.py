"""Batch normalization from scratch and PyTorch's own train to the same network, step by step."""

import pytest
import torch
import torch.nn.functional as F

from normzoo.nn.resnet import ResNet

STEPS, BATCH, SIDE, CLASSES = 50, 8, 8, 5
OPTIMIZERS = {
    "adam": lambda network: torch.optim.Adam(network.parameters(), lr=1e-3),
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True),
}


def twins():
    """Two networks in float64 with the same weights, ours and torch's."""
    torch.manual_seed(0)
    ours, theirs = (ResNet(8, norm, CLASSES).double() for norm in ("bn", "torch-bn"))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_ours_and_torchs_stay_equal_for_50_steps_from_equal_weights_on_equal_batches(optimizer):
    networks = ours, theirs = twins()
    optimizers = [OPTIMIZERS[optimizer](network) for network in networks]
    draw = torch.Generator().manual_seed(1)
    start = {name: value.clone() for name, value in ours.state_dict().items()}
    for _ in range(STEPS):
        images = torch.randn(BATCH, 3, SIDE, SIDE, generator=draw, dtype=torch.float64)
        labels = torch.randint(CLASSES, (BATCH,), generator=draw)
        losses = []
        for network, each in zip(networks, optimizers, strict=True):
            loss = F.cross_entropy(network(images), labels)
            each.zero_grad()
            loss.backward()
            each.step()
            losses.append(loss.detach())
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-7, atol=1e-9)
    for name, value in ours.state_dict().items():  # weights and running statistics
        torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-6, atol=1e-8)
        assert not torch.equal(value, start[name]), f"{name} has not moved"
    ours.eval()
    theirs.eval()
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-6, atol=1e-8)


def test_a_wrong_layer_would_be_noticed():
    ours, _ = twins()
    torch.manual_seed(0)
    wrong = ResNet(8, lambda channels: torch.nn.BatchNorm2d(channels, eps=1e-3), CLASSES).double()
    wrong.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(BATCH, 3, SIDE, SIDE, dtype=torch.float64)
    assert not torch.allclose(ours(images), wrong(images), rtol=1e-6, atol=1e-8)
