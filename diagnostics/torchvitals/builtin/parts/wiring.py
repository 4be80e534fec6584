"""Who trains which parameter: what the diagnostics of wiring share."""

from collections.abc import Iterable, Sequence

import numpy as np

from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.window import Window


@remembered
def column(look: Snapshot, kind: str, statistic: str) -> dict[str, float]:
    """A statistic by row name; empty where it was not measured."""
    if kind not in look or statistic not in look[kind].columns:
        return {}
    return dict(zip(look[kind].names, look[kind][statistic].tolist(), strict=True))


@remembered
def calm_looks(window: Window, *kinds: str) -> list[Snapshot]:
    """The calm ones of the looks that hold a table of each of these kinds."""
    return list(filter(calm, window.looks(*kinds)))


def ever(looks: Iterable[Snapshot], kind: str, statistic: str) -> dict[str, bool]:
    """Whether a statistic was above 0 at any look, for each row that was ever measured."""
    found: dict[str, bool] = {}
    for look in looks:
        for name, value in column(look, kind, statistic).items():
            found[name] = found.get(name, False) or value > 0
    return found


def moved(looks: Sequence[Snapshot]) -> frozenset[str]:
    """Parameters that were seen to change, by an optimizer or by anybody else.

    A true update shows it, and so does a norm that is not the same at all looks.
    """
    changed = {name for name, yes in ever(looks, "update", "sum_sq").items() if yes}
    known: dict[str, float] = {}
    for look in looks:
        for name, value in column(look, "parameter", "sum_sq").items():
            if known.setdefault(name, value) != value:
                changed.add(name)
    return frozenset(changed)


def owner(name: str) -> str:
    """Path of the module that owns a parameter; the parameter's own name where that is the model itself."""
    return name.rpartition(".")[0] or name


def owners(names: Iterable[str]) -> tuple[str, ...]:
    """Their modules, each once, in the order given."""
    return tuple(dict.fromkeys(map(owner, names)))


def skipped(look: Snapshot) -> bool:
    """Whether a gradient scaler left the step out, so that nothing could move."""
    return look.labels.get("skipped") == "scaler"


@remembered
def calm(look: Snapshot) -> bool:
    """Whether the step's loss and gradients were finite and it was made.

    Inputs do not count: a mask of -inf is no illness.
    """
    bad = "gradient" in look and bool(look["gradient"]["nonfinite"].any())
    told = look.loss is None or bool(np.isfinite(look.loss))
    return told and not bad and not skipped(look)
