"""Without this file the textbook's first network, two hidden layers of 128 and 64 units, would be missing."""

from torch import Tensor, nn

from models.activations import ActivationFactory
from models.errors import require_count
from models.networks.layers import dense_layer
from models.networks.shapes import flat_size, require_out_features


class SimpleNet(nn.Module):
    """in -> 128 -> 64 -> out, with the chosen activation after each hidden layer.

    (N, *in_shape) -> (N, out_features); inputs of any shape are flattened. The outputs are raw: the loss
    knows about sigmoid or softmax. Raises ValueError for sizes below 1.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        *,
        out_features: int,
        activation: ActivationFactory,
        widths: tuple[int, int] = (128, 64),
    ) -> None:
        super().__init__()
        require_out_features(out_features)
        for width in widths:
            require_count("widths", value=width, minimum=1)
        first, second = widths
        self.hidden = nn.ModuleList(
            [
                dense_layer(flat_size(in_shape), width=first, activation=activation),
                dense_layer(first, width=second, activation=activation),
            ]
        )
        self.head = nn.Linear(second, out_features)

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for layer in self.hidden:
            h = layer(h)
        return self.head(h)
