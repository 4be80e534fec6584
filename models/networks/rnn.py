"""Without this file depth in time, where gradients vanish over steps and not layers, would be missing."""

from torch import Tensor, nn

from models.activations import ActivationFactory
from models.errors import require_choice, require_count
from models.networks.layers import dense_layer, optional_dropout
from models.networks.shapes import as_sequence, require_out_features, sequence_shape

CELLS = ("vanilla", "lstm", "gru")
NONLINEARITIES = ("tanh", "relu")


class RNN(nn.Module):
    """`depth` recurrent layers of `width` units, a dense read-out with the chosen activation, a linear layer.

    Token ids (N, steps), numbers (N, steps, features) or images, row by row -> (N, out_features) read at the
    last step, or (N, steps, out_features) with `per_position`. Token ids are embedded in `width` numbers. The
    recurrence itself has the non-linearities of its cell: the gates of lstm and gru are fixed, `vanilla` has
    tanh or relu. Raises ValueError for sizes, cells or shapes that cannot be used.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        *,
        out_features: int,
        activation: ActivationFactory,
        vocab_size: int | None = None,
        per_position: bool = False,
        cell: str = "lstm",
        nonlinearity: str = "tanh",
        depth: int = 1,
        width: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_out_features(out_features)
        require_count("depth", value=depth, minimum=1)
        require_count("width", value=width, minimum=1)
        features = sequence_shape(in_shape, vocab_size=vocab_size)[1]
        self.per_position = per_position
        self.embed = None if vocab_size is None else nn.Embedding(vocab_size, width)
        sizes = [width if vocab_size else features, *[width] * (depth - 1)]
        # One module per layer: torch's own num_layers would hide the layers' paths and outputs from a report.
        self.recurrent = nn.ModuleList(
            _cell(cell, size, width=width, nonlinearity=nonlinearity) for size in sizes
        )
        self.dropout = optional_dropout(dropout)
        self.readout = dense_layer(width, width=width, activation=activation)
        self.head = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        h = as_sequence(x) if self.embed is None else self.embed(x)
        for layer in self.recurrent:
            h, _ = layer(h)
            h = h if self.dropout is None else self.dropout(h)
        return self.head(self.readout(h if self.per_position else h[:, -1]))


def _cell(cell: str, in_features: int, *, width: int, nonlinearity: str) -> nn.RNNBase:
    require_choice("cell", value=cell, choices=CELLS)
    require_choice("nonlinearity", value=nonlinearity, choices=NONLINEARITIES)
    if cell == "vanilla":
        return nn.RNN(in_features, width, nonlinearity=nonlinearity, batch_first=True)
    return (nn.LSTM if cell == "lstm" else nn.GRU)(in_features, width, batch_first=True)
