"""Whether weight decay, and not the data, moves the weights."""

from collections.abc import Callable

import numpy as np

from torchvitals.core.snapshot import Snapshot, remembered

Names = tuple[str, ...]


@remembered
def matrices(look: Snapshot) -> tuple[str, ...]:
    """Trainable weight matrices by name."""
    parameter = look["parameter"]
    rows = np.flatnonzero((parameter["fan_in"] > 0) & (parameter["trainable"] > 0))
    return tuple(parameter.names[i] for i in rows)


@remembered
def gains(look: Snapshot) -> tuple[str, ...]:
    """Trainable gains of normalisations by name."""
    parameter = look["parameter"]
    known = zip(parameter.names, parameter["op"], parameter["trainable"], strict=True)
    return tuple(n for n, op, learns in known if learns and "Norm" in str(op) and n.endswith("weight"))


@remembered
def norm_of(look: Snapshot, kind: str = "parameter", names: Callable[[Snapshot], Names] = matrices) -> float:
    """Euclidean norm of all weight matrices (or gains) together, or of their gradients or updates."""
    chosen, table = set(names(look)), look[kind]
    rows = [i for i, name in enumerate(table.names) if name in chosen]
    return float(np.sqrt(table["sum_sq"][rows].sum()))


@remembered
def decay_rules(look: Snapshot, names: Callable[[Snapshot], Names] = matrices) -> bool:
    """Whether the pull of weight decay is as strong as the gradient.

    Where it is decoupled from the gradient, as in AdamW: whether it is half of the update.
    """
    lr, decay = look.scalars.get("lr", 0.0), look.scalars.get("weight_decay", 0.0)
    if decay <= 0:
        return False
    size = norm_of(look, names=names)
    if look.labels.get("optimizer") == "AdamW":
        return lr * decay * size > 0.5 * norm_of(look, "update", names)
    return decay * size > norm_of(look, "gradient", names)
