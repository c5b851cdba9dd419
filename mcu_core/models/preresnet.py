"""PreResNet for small images: residual networks whose BatchNorm and ReLU come before each convolution.

Source: He et al., "Identity Mappings in Deep Residual Networks", arXiv 1603.05027.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

BASIC_DEPTHS = (8, 14, 20, 32, 44, 56)
"""6n + 2 layers of two-convolution blocks."""
BOTTLENECK_DEPTHS = (110,)
"""9n + 2 layers of three-convolution blocks."""
STAGES = ((16, 1), (32, 2), (64, 2))
"""Width and stride of the three stages."""
EXPANSION = 4
"""Output width of a bottleneck block, in widths of its stage."""


def preresnet(depth: int, *, classes: int, channels: int) -> nn.Module:
    """Build a PreResNet.

    Args:
        depth: one of `BASIC_DEPTHS` or `BOTTLENECK_DEPTHS`; 110 has 1 146 842 parameters for 10 classes and RGB.
        classes: width of the output.
        channels: of the images.

    Returns:
        A module from float `[N, channels, H, W]` to float `[N, classes]`, with He's initialisation (arXiv 1502.01852).
    """
    bottleneck = depth in BOTTLENECK_DEPTHS
    network = _PreResNet(
        blocks=(depth - 2) // (9 if bottleneck else 6), bottleneck=bottleneck, classes=classes, channels=channels
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    return network


class _PreResNet(nn.Module):
    def __init__(self, *, blocks: int, bottleneck: bool, classes: int, channels: int) -> None:
        super().__init__()
        width = STAGES[0][0]
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        stages: list[nn.Module] = []
        for stage_width, stride in STAGES:
            for index in range(blocks):
                block = (_Bottleneck if bottleneck else _BasicBlock)(width, stage_width, stride if index == 0 else 1)
                stages.append(block)
                width = stage_width * (EXPANSION if bottleneck else 1)
        self.blocks = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.norm(self.blocks(self.conv(images))))
        result: Tensor = self.head(torch.mean(features, dim=(2, 3)))
        return result


class _BasicBlock(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = _shortcut(width_in, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        residual: Tensor = self.conv1(functional.relu(self.norm1(features)))
        residual = self.conv2(functional.relu(self.norm2(residual)))
        kept: Tensor = self.shortcut(features)
        return residual + kept


class _Bottleneck(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.shortcut = _shortcut(width_in, width * EXPANSION, stride)

    def forward(self, features: Tensor) -> Tensor:
        residual: Tensor = self.conv1(functional.relu(self.norm1(features)))
        residual = self.conv2(functional.relu(self.norm2(residual)))
        residual = self.conv3(functional.relu(self.norm3(residual)))
        kept: Tensor = self.shortcut(features)
        return residual + kept


def _shortcut(width_in: int, width_out: int, stride: int) -> nn.Module:
    if stride == 1 and width_in == width_out:
        return nn.Identity()
    return nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False)
