"""Without this file no benchmark would meet in-place activations and `out += x`, which break naive hooks."""

from torch import Tensor, nn

from models.activations import ActivationFactory, in_place
from models.errors import invalid, require_count
from models.networks.layers import conv_norm
from models.networks.shapes import image_shape, require_out_features

_STAGES = 3


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (arXiv:1512.03385): (N, C, H, W) -> (N, width, H', W')."""

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        stride: int,
        activation: ActivationFactory,
        norm: str,
        residual: bool,
    ) -> None:
        super().__init__()
        bias = norm != "batch"
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=bias)
        self.norm1 = conv_norm(norm, channels=width)
        self.act1 = in_place(activation())
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm2 = conv_norm(norm, channels=width)
        adapts = residual and channels != width
        self.shortcut = nn.Conv2d(channels, width, 1, stride=stride, bias=bias) if adapts else None
        self.act2 = in_place(activation())
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.act1(out if self.norm1 is None else self.norm1(out))
        out = self.conv2(out)
        if self.norm2 is not None:
            out = self.norm2(out)
        if self.residual:
            out += x if self.shortcut is None else self.shortcut(x)
        return self.act2(out)


class ResNet(nn.Module):
    """A stem, three stages of `depth` basic blocks, average pooling and a linear layer.

    (N, channels, height, width) -> (N, out_features). The longest path holds 6 * depth + 2 weight layers;
    stage s has width * 2**s channels, and stages 1 and 2 halve the picture. `zero_init_residual` starts every
    block as the identity by a zero scale in its last norm. `residual=False` is the plain twin without
    shortcuts. Raises ValueError for sizes or norms that cannot be used.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        *,
        out_features: int,
        activation: ActivationFactory,
        depth: int = 1,
        width: int = 16,
        norm: str = "batch",
        residual: bool = True,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        require_out_features(out_features)
        require_count("depth", value=depth, minimum=1)
        require_count("width", value=width, minimum=1)
        channels = image_shape(in_shape)[0]
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=norm != "batch")
        self.stem_norm = conv_norm(norm, channels=width)
        self.stem_act = in_place(activation())
        self.stages = nn.ModuleList(
            _stage(
                max(s - 1, 0),
                s,
                depth=depth,
                width=width,
                activation=activation,
                norm=norm,
                residual=residual,
            )
            for s in range(_STAGES)
        )
        self.head = nn.Linear(width * 2 ** (_STAGES - 1), out_features)
        if zero_init_residual:
            self._zero_last_norms()

    def _zero_last_norms(self) -> None:
        for block in self.modules():
            if isinstance(block, BasicBlock):
                if not isinstance(block.norm2, nn.BatchNorm2d | nn.GroupNorm):
                    only = "false with norm none; true or false with norm batch or layer"
                    raise invalid("zero_init_residual", value=True, choices=only)
                nn.init.zeros_(block.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = self.stem_act(h if self.stem_norm is None else self.stem_norm(h))
        for stage in self.stages:
            h = stage(h)
        return self.head(h.mean(dim=(2, 3)))


def _stage(
    before: int,
    stage: int,
    *,
    depth: int,
    width: int,
    activation: ActivationFactory,
    norm: str,
    residual: bool,
) -> nn.Sequential:
    channels = [width * 2**before, *[width * 2**stage] * depth]
    return nn.Sequential(
        *(
            BasicBlock(
                channels[index],
                width=channels[index + 1],
                stride=2 if stage > 0 and index == 0 else 1,
                activation=activation,
                norm=norm,
                residual=residual,
            )
            for index in range(depth)
        )
    )
