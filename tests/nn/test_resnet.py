"""The network: its size, its shape, that any norm drops in, and that every norm has its words."""

import dataclasses

import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchNorm, InstanceNorm, NoNorm
from normzoo.nn.registry import NORM_LAYERS, NormRecord, describe_norm
from normzoo.nn.resnet import TORCH_NORM_LAYERS, BasicBlock, ResNet, norm_keys
from normzoo.variants import describe_variant

DEPTHS = [8, 14, 20]
PER_CHANNEL = {"nn": 0, "bin": 3}  # trained numbers per channel of a norm: none; weight, bias, gate; else weight, bias
TWINS = {"bn": "torch-bn", "in": "torch-in", "gn": "torch-gn", "ln": "torch-ln"}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def randomize_norms(network):
    """Norms whose weights, biases and running statistics are not ones and zeros."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "norm" in name and tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("norm", norm_keys())
def test_parameter_count_has_a_closed_form(norm, depth):
    n, num_classes = (depth - 2) // 6, 25
    convolutions = 9 * (3 * 16 + 2 * n * 16**2 + (16 * 32 + (2 * n - 1) * 32**2) + (32 * 64 + (2 * n - 1) * 64**2))
    channels = 16 + 2 * n * (16 + 32 + 64)  # one norm behind every convolution
    expected = convolutions + PER_CHANNEL.get(norm, 2) * channels + (64 + 1) * num_classes
    assert sum(parameter.numel() for parameter in ResNet(depth, norm, num_classes).parameters()) == expected


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("norm", norm_keys())
def test_every_norm_trains_a_step(norm, optimizer):
    network = ResNet(8, norm, num_classes=5)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    training = optimizer(network.parameters(), lr=1e-2)
    nn.functional.cross_entropy(network(torch.randn(4, 3, 16, 16)), torch.tensor([0, 1, 2, 4])).backward()
    training.step()
    for name, parameter in network.named_parameters():
        assert parameter.isfinite().all(), name
        if name.rpartition(".")[2] != "gate":  # its gradient may be 0 at the start, in one channel or another
            assert not parameter.equal(before[name]), name
    assert all(buffer.isfinite().all() for buffer in network.buffers())
    assert network.eval()(torch.randn(2, 3, 16, 16)).isfinite().all()


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (33, 20)])
@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_images_of_other_sizes_go_through(norm, size):
    network = ResNet(8, norm, num_classes=5).eval()
    images = torch.randn(2, 3, *size)
    assert network.features(images).shape == (2, 64, -(-size[0] // 4), -(-size[1] // 4))
    torch.testing.assert_close(network(images), network.fc(network.features(images).mean((2, 3))))


@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_memory_format_of_the_images_does_not_change_the_logits(norm):
    network = ResNet(8, norm)
    randomize_norms(network)
    images = torch.randn(4, 3, 16, 16)
    maps = network.features(images.to(memory_format=torch.channels_last))
    assert maps.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(maps, network.features(images), rtol=1e-4, atol=1e-4)


def test_shortcut_takes_every_second_pixel_and_fills_new_channels_with_zeros():
    block = BasicBlock(16, 32, 2, BatchNorm)
    nn.init.zeros_(block.norm2.get_parameter("weight"))  # only the shortcut is left
    images = torch.rand(2, 16, 8, 8)
    expected = torch.cat([images[:, :, ::2, ::2], torch.zeros(2, 16, 4, 4)], 1)
    torch.testing.assert_close(block(images), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        *(({"depth": depth}, rf"depth must be 6n\+2 \(8, 14, 20, …\), got {depth}\.") for depth in (2, 7, 18, -4)),
        *(({"norm": norm}, f"Unknown norm {norm!r}. Choose one of: nn, bn") for norm in ("grup", "", "BN", "torch-bin")),
        *(({"num_classes": count}, f"num_classes must be at least 2, got {count}.") for count in (1, 0, -3)),
    ],
)
def test_what_cannot_be_built_says_what_is_allowed(wish, message):
    with pytest.raises(ConfigError, match=message):
        ResNet(**wish)


@pytest.mark.parametrize("norm", TWINS)
def test_twin_with_torchs_norm_loads_by_name_and_gives_the_same_logits(norm):
    ours, theirs = ResNet(norm=norm).double(), ResNet(norm=TWINS[norm]).double()
    randomize_norms(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(images), theirs.train(training)(images))
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))
    theirs.load_state_dict(ours.state_dict(), strict=True)


@pytest.mark.parametrize("norm", norm_keys())
def test_same_seed_gives_the_same_start_whatever_the_norm(norm):
    def start(key):
        torch.manual_seed(7)
        return {name: tensor for name, tensor in ResNet(norm=key).state_dict().items() if "norm" not in name}

    torch.testing.assert_close(start(norm), start("torch-bn"), rtol=0, atol=0)
    assert not ResNet(norm=norm).conv1.weight.equal(start(norm)["conv1.weight"])  # the seed did decide it


class ScaleNorm(nn.Module):
    """A seventh norm: every image by its root mean square."""

    def __init__(self, num_channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean((1, 2, 3), keepdim=True) + 1e-5) * self.weight.view(1, -1, 1, 1)


def test_seventh_norm_takes_one_line(monkeypatch):
    monkeypatch.setitem(NORM_LAYERS, "scale", ScaleNorm)
    assert isinstance(ResNet(norm="scale").norm1, ScaleNorm)
    assert ResNet(8, ScaleNorm, num_classes=5)(torch.randn(2, 3, 16, 16)).shape == (2, 5)
    assert (describe_norm("scale"), describe_variant("scale")) == (NormRecord(title="scale"), "scale")
    assert norm_keys() == [*NORM_LAYERS, *TORCH_NORM_LAYERS]
    with pytest.raises(ConfigError, match=r"Choose one of: .*, scale\.$"):
        ResNet(norm="grup")


def test_last_norm_may_be_another_and_the_start_is_the_same():
    torch.manual_seed(0)
    usual = ResNet(8, "in", 4)
    torch.manual_seed(0)
    other = ResNet(8, "in", 4, last_norm="nn")
    norms = [type(module) for name, module in other.named_modules() if "norm" in name.rpartition(".")[2]]
    assert norms == [InstanceNorm] * 6 + [NoNorm]
    missing = set(usual.state_dict()) - set(other.state_dict())
    assert missing == {"stages.stage3.0.norm2.weight", "stages.stage3.0.norm2.bias"}
    assert all(torch.equal(value, usual.state_dict()[name]) for name, value in other.state_dict().items())
    with pytest.raises(ConfigError, match="Unknown norm 'none'"):
        ResNet(last_norm="none")


@pytest.mark.parametrize("key", NORM_LAYERS)
def test_every_norm_says_everything(key):
    said = dataclasses.asdict(describe_norm(key))
    missing = [name for name, words in said.items() if not words and name != "remark"]  # not every norm has one
    assert missing == (["pooled_axes"] if key == "nn" else [])
    assert describe_variant(key) == said["title"]
    assert all(axis in said["axes"] for axes in said["pooled_axes"] for axis in axes)  # in words as drawn
