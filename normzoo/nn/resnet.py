"""ResNet of 6n+2 layers for small images, with any normalization layer."""

from collections import OrderedDict
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.nn.registry import NORM_LAYERS, get_norm_layer

NormLayer = Callable[[int], nn.Module]

#: torch's layers, as a reference for ours.
TORCH_NORM_LAYERS: dict[str, NormLayer] = {
    "torch-bn": nn.BatchNorm2d,
    "torch-in": lambda num_channels: nn.InstanceNorm2d(num_channels, affine=True),
    "torch-gn": lambda num_channels: nn.GroupNorm(8, num_channels),
    "torch-ln": lambda num_channels: nn.GroupNorm(1, num_channels),
}

WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each followed by the norm, around a shortcut without parameters.

    y = relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x)). Where the shape changes, the shortcut takes every
    second pixel and fills the new channels with zeros ("option A").

    Shape: (N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm_layer: NormLayer) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = norm_layer(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = norm_layer(out_channels)
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.stride != 1 or self.new_channels:
            shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))
        out = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(out)) + shortcut)


class ResNet(nn.Module):
    """The CIFAR family of residual networks: 6n+2 layers in three stages of 16, 32 and 64 channels.

    No convolution has a bias, so only the norm differs.

    >>> network = normzoo.ResNet(depth=14, norm="gn", num_classes=25)
    >>> network(torch.randn(2, 3, 32, 32)).shape
    torch.Size([2, 25])

    Args:
        depth: 6n+2 layers: 8, 14, 20, …
        norm: a key of `NORM_LAYERS` or `TORCH_NORM_LAYERS`, or a callable from the number of
            channels to a module.
        num_classes: outputs of the last layer.
        last_norm: the last norm, if it differs. Average pooling follows it, so a norm that removes the mean of each map matters
            there; "nn" removes that norm.

    Shape: (N, 3, H, W) -> logits (N, num_classes). Any H and W; the family was designed for 32.

    Raises:
        ConfigError: depth is not 6n+2, unknown norm, or fewer than 2 classes.

    Reference: He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. 2015. §4.2. arXiv:1512.03385
    """

    def __init__(
        self, depth: int = 14, norm: str | NormLayer = "bn", num_classes: int = 25, last_norm: str | NormLayer | None = None
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ConfigError(f"depth must be 6n+2 (8, 14, 20, …), got {depth}.")
        if num_classes < 2:
            raise ConfigError(f"num_classes must be at least 2, got {num_classes}.")
        norm_layer = _norm_layer(norm)
        self.depth = depth
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.norm1 = norm_layer(WIDTHS[0])
        stages, in_channels = OrderedDict[str, nn.Module](), WIDTHS[0]
        for stage, width in enumerate(WIDTHS, start=1):
            blocks = []
            for block in range((depth - 2) // 6):
                blocks.append(BasicBlock(in_channels, width, 2 if stage > 1 and block == 0 else 1, norm_layer))
                in_channels = width
            stages[f"stage{stage}"] = nn.Sequential(*blocks)
        if last_norm is not None:
            blocks[-1].norm2 = _norm_layer(last_norm)(in_channels)
        self.stages = nn.Sequential(stages)
        self.fc = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """Return the last feature maps, before global average pooling: (N, 3, H, W) -> (N, 64, H/4, W/4)."""
        return self.stages(F.relu(self.norm1(self.conv1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


def _norm_layer(norm: str | NormLayer) -> NormLayer:
    if not isinstance(norm, str):
        return norm
    return TORCH_NORM_LAYERS[norm] if norm in TORCH_NORM_LAYERS else get_norm_layer(norm)


def norm_keys() -> list[str]:
    """All keys that `ResNet(norm=...)` accepts: the built-in norms, then torch's."""
    return [*NORM_LAYERS, *TORCH_NORM_LAYERS]
