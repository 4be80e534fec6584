"""The phrases about the watch itself; without them `healthy` would not say of what, nor seen how often."""

from collections.abc import Iterator, Mapping

from torchvitals.core.summary import Coverage, Summary
from torchvitals.reporters.words import clean, count

GROUPS = {
    "activation": ("site", {"activation_gradient": "gradients"}),
    "parameter": ("parameter", {"update": "updates", "gradient": "gradients"}),
    "rank": ("rank", {"rank_gradient": "gradients"}),
}
"""Kind of table to what a row of it is, and the kinds that hold more about the same things."""
ROWS = {
    "input": ("input", "inputs"),
    "output": ("output", "outputs"),
    "activation_gradient": ("gradient of a site", "gradients of sites"),
    "gradient": ("gradient of a parameter", "gradients of parameters"),
    "update": ("update of a parameter", "updates of parameters"),
    "silence": ("layer checked for silent units", "layers checked for silent units"),
    "saturation": ("layer checked for saturation", "layers checked for saturation"),
    "rank_forward": ("rank's batch merged", "ranks' batches merged"),
    "symmetry": ("weight matrix checked for equal units", "weight matrices checked for equal units"),
    "features": ("scale of an input", "scales of inputs"),
    "loss": ("call of a loss function", "calls of loss functions"),
    "wiring": ("parameter traced from the loss", "parameters traced from the loss"),
    "witness": ("optimizer's gradients followed", "optimizers' gradients followed"),
    "memory": ("recurrent layer", "recurrent layers"),
    "normalisation": ("batch norm", "batch norms"),
    "mixing": ("module tried for mixing of samples", "modules tried for mixing of samples"),
}
"""Kind of table to what one row and what several rows of it are, on their own."""


MOST_NAMES = 6
"""Diagnostics that are named one by one."""


def looked(coverage: Coverage) -> str:
    """How often and at what, such as `at 3 of 9 steps: 5 sites with their gradients, 8 parameters`."""
    things = ", ".join(_things(coverage.measured))
    return f"at {coverage.looks} of {count(coverage.steps, 'step')}" + (f": {things}" if things else "")


def _things(measured: Mapping[str, int]) -> Iterator[str]:
    left = {kind: rows for kind, rows in measured.items() if rows}
    for kind, (noun, more) in GROUPS.items():
        if rows := left.pop(kind, 0):
            same = [other for other in more if left.get(other) == rows]
            their = " and ".join(more[other] for other in same)
            yield count(rows, noun) + (f" with {'its' if rows == 1 else 'their'} {their}" if their else "")
            for other in same:
                del left[other]
    for kind, rows in left.items():
        one, several = ROWS.get(kind, (f"row of {kind}", f"rows of {kind}"))
        yield clean(count(rows, one, several))


def meaning(summary: Summary) -> str:
    """What `healthy` stands for: the diagnostics that judged and found nothing. Empty for other verdicts."""
    found = {incident.name for incident in summary.incidents}
    absent = [name for name in summary.coverage.judged if name not in found]
    if summary.verdict != "healthy" or not absent:
        return ""
    if len(absent) == 1:
        return clean(f"{absent[0]} was not found")
    if len(absent) > MOST_NAMES:
        return f"{len(absent)} diagnostics found nothing (`torchvitals list` names them)"
    return clean(f"none of {', '.join(absent)} was found")
