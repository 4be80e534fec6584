"""Makes all metric keys; without it every sink would name and compute the same numbers in its own way."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from torchvitals.core.snapshot import Snapshot
from torchvitals.core.tables import Table

PREFIX = "vitals/"


def metrics(snapshot: Snapshot) -> dict[str, float]:
    """The few numbers of a step worth a curve.

    | key | meaning |
    |---|---|
    | loss | mean loss of the step; nan and inf are kept, for they are news |
    | gradient_norm | total norm of the gradients before clipping |
    | lr | learning rate |
    | update_ratio | median of norm(update) / norm(parameter) over weight matrices |
    | activation_gradient_span | log10 of the first over the last activation gradient's norm |
    | signal_rms_last | root mean square of the last activation |
    | dead_share | share of silent units in the layer that has most |
    | nonfinite | NaN and Inf entries in all tables |

    A key is left out when the step did not measure it or the number is not finite.
    """
    found: dict[str, float] = {
        n: snapshot.scalars[n] for n in ("gradient_norm", "lr") if n in snapshot.scalars
    }
    for name, (kinds, measure) in MEASURES.items():
        if all(kind in snapshot for kind in kinds):
            value = measure(*(snapshot[kind] for kind in kinds))
            found |= {} if value is None else {name: value}
    if snapshot.tables:
        found["nonfinite"] = sum(_nonfinite(table) for table in snapshot.tables.values())
    kept = {PREFIX + name: float(value) for name, value in found.items() if math.isfinite(value)}
    return kept if snapshot.loss is None else {PREFIX + "loss": snapshot.loss, **kept}


def _update_ratio(update: Table, parameter: Table) -> float | None:
    rows = {name: row for row, name in enumerate(parameter.names) if _is_matrix(parameter, row)}
    both = [(row, rows[name]) for row, name in enumerate(update.names) if name in rows]
    ratios = [update.norm[mine] / parameter.norm[theirs] for mine, theirs in both]
    return float(np.median(ratios)) if ratios else None


def _is_matrix(parameter: Table, row: int) -> bool:
    """Not a bias, nor a gain (as many entries as its bias), nor all zero: ratios mean nothing there."""
    owner, _, last = parameter.names[row].rpartition(".")
    bias = f"{owner}.bias" if owner else "bias"
    gain = bias in parameter.names and parameter["count"][parameter.index(bias)] == parameter["count"][row]
    return "bias" not in last and not gain and parameter.norm[row] > 0


def _span(activation_gradient: Table) -> float | None:
    norms = [norm for norm in activation_gradient.norm if norm > 0 and math.isfinite(norm)]
    return math.log10(norms[0]) - math.log10(norms[-1]) if len(norms) > 1 else None


def _last_rms(activation: Table) -> float | None:
    return activation.rms[-1] if len(activation) else None


def _dead_share(silence: Table) -> float | None:
    return max(
        (1.0 - float(np.mean(fired)) for fired in silence.units.get("fired", ()) if len(fired)), default=None
    )


def _nonfinite(table: Table) -> float:
    return float(table["nonfinite"].sum()) if "nonfinite" in table.columns else 0.0


MEASURES: Mapping[str, tuple[tuple[str, ...], Callable[..., float | None]]] = {
    "update_ratio": (("update", "parameter"), _update_ratio),
    "activation_gradient_span": (("activation_gradient",), _span),
    "signal_rms_last": (("activation",), _last_rms),
    "dead_share": (("silence",), _dead_share),
}
