"""Normalisations that give their bias whatever comes in: each of their numbers was normalised alone."""

from collections.abc import Sequence

from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Table

NOTHING = 1e-6
"""Part of the gain's mean square that is rounding."""


def constant_norms(looks: Sequence[Snapshot]) -> list[str]:
    """Modules of which this holds at all of these looks, in execution order."""
    latest = _constant(looks[-1]) if looks else []
    return [name for name in latest if all(name in _constant(look) for look in looks)]


@remembered
def _constant(look: Snapshot) -> list[str]:
    """A normalisation whose gain is not 0 gives the mean square of its gain and that of its bias together;
    where it gives the latter alone, what it divided was 0, although what ran before it told samples apart.

    Zeros that come in, as from a layer that died or a branch that starts at 0, are no matter of the norm.
    """
    if "parameter" not in look:
        return []
    table, parameter = look["activation"], look["parameter"]
    owned = {name: row for row, name in enumerate(parameter.names)}
    found = []
    for row in range(1, len(table)):
        name = table.names[row]
        if "Norm" not in str(table["op"][row]) or table["nonfinite"][row] or not _varies(table, row - 1):
            continue
        gain, bias = (owned.get(f"{name}.{part}") for part in ("weight", "bias"))
        if gain is None and any(n.startswith(f"{name}.") for n in owned):
            continue  # what its parameters are is not known
        scale = 1.0 if gain is None else float(parameter.rms[gain] ** 2)
        told = 0.0 if bias is None else float(parameter.rms[bias] ** 2)
        if scale > 0 and abs(float(table.rms[row] ** 2) - told) <= NOTHING * scale:
            found.append(name)
    return found


def _varies(table: Table, row: int) -> bool:
    """Whether samples can be told apart there, beyond rounding."""
    return table["spread"][row] > NOTHING * table["sum_sq"][row] and table["nonfinite"][row] == 0
