"""Whether weight decay, and not the data, moves the weights."""

import numpy as np

from torchvitals.core.snapshot import Snapshot


def matrices(look: Snapshot) -> tuple[str, ...]:
    """Trainable weight matrices by name."""
    parameter = look["parameter"]
    rows = np.flatnonzero((parameter["fan_in"] > 0) & (parameter["trainable"] > 0))
    return tuple(parameter.names[i] for i in rows)


def norm_of(look: Snapshot, kind: str = "parameter") -> float:
    """Euclidean norm of all weight matrices together, or of their gradients or updates."""
    names, table = set(matrices(look)), look[kind]
    rows = [i for i, name in enumerate(table.names) if name in names]
    return float(np.sqrt(table["sum_sq"][rows].sum()))


def decay_rules(look: Snapshot) -> bool:
    """Whether the pull of weight decay is as strong as the gradient.

    Where it is decoupled from the gradient, as in AdamW: whether it is half of the update.
    """
    lr, decay = look.scalars.get("lr", 0.0), look.scalars.get("weight_decay", 0.0)
    if decay <= 0:
        return False
    if look.labels.get("optimizer") == "AdamW":
        return lr * decay * norm_of(look) > 0.5 * norm_of(look, "update")
    return decay * norm_of(look) > norm_of(look, "gradient")
