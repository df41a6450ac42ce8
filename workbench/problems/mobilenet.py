"""MobileNetV2, under the names that torchvision's weights have; its own weights are not in here."""

from torch import Tensor, nn

# For each stage: expansion, channels, blocks, stride of the first block (table 2 of the paper).
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


class MobileNetV2(nn.Module):
    """A convolution, 17 inverted residual blocks, a convolution, mean over space, dropout, linear.

    Source: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018, arXiv:1801.04381.

    Parameters
    ----------
    classes : int
        Number of logits.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, 32, 3, stride=2)]
        channels = 32
        for expansion, width, blocks, stride in _STAGES:
            for block in range(blocks):
                layers.append(InvertedResidual(channels, width, expansion, stride if block == 0 else 1))
                channels = width
        layers.append(_convolution(channels, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, 3, h, w), normalised, to logits (n, classes)."""
        return self.classifier(self.features(images).mean((2, 3)))


class InvertedResidual(nn.Module):
    """Widen by a 1 × 1 convolution, filter each channel, narrow without an activation; add if it fits."""

    def __init__(self, channels: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * channels
        widen = [_convolution(channels, hidden, 1)] if expansion > 1 else []
        filtering = _convolution(hidden, hidden, 3, stride=stride, groups=hidden)
        narrow = [nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width)]
        self.conv = nn.Sequential(*widen, filtering, *narrow)
        self.adds = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to (n, width, h / stride, w / stride)."""
        return x + self.conv(x) if self.adds else self.conv(x)


def _convolution(channels: int, width: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, size, stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )
