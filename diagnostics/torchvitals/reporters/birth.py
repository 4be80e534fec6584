"""What a re-run found, as plain text; without it `torchvitals replay --model` would have nothing to print."""

import math
from collections.abc import Iterator

import torch

from torchvitals.captures.births import Birth, Range, Rerun
from torchvitals.captures.capture import Capture
from torchvitals.reporters.words import block, place

NAN = {
    "log": "The logarithm of a negative number.",
    "log2": "The logarithm of a negative number.",
    "log10": "The logarithm of a negative number.",
    "log1p": "The logarithm of a negative number: an entry is below -1.",
    "sqrt": "The root of a negative number.",
    "rsqrt": "The root of a negative number.",
    "pow": "A negative number to a power that is not whole.",
    "div": "0 divided by 0.",
    "mul": "0 times Inf.",
    "sub": "Inf minus Inf.",
    "add": "Inf minus Inf.",
    "_softmax": "A row of -Inf throughout: everything in it is masked.",
    "_log_softmax": "A row of -Inf throughout: everything in it is masked.",
    "acos": "Outside of [-1, 1].",
    "asin": "Outside of [-1, 1].",
}
"""Operation to why it gives NaN."""
INF = {
    "log": "The logarithm of 0.",
    "log2": "The logarithm of 0.",
    "log10": "The logarithm of 0.",
    "div": "A division by 0.",
    "reciprocal": "A division by 0.",
    "rsqrt": "A division by 0, the root of 0.",
    "pow": "0 to a negative power, or beyond the largest number.",
}
"""Operation to why it gives Inf, where nothing is too large."""


def rendered(rerun: Rerun, capture: Capture) -> Iterator[str]:
    """The re-run, and the birth that it found."""
    yield from block("re-run", f"on {rerun.device}, with the weights {rerun.weights}", label_at=0)
    yield from block("", f"Backpropagated: {rerun.by}. {_loss(rerun, capture)}".rstrip())
    for note in rerun.notes:
        yield from block("", note)
    yield ""
    yield from _born(rerun.birth) if rerun.birth is not None else _nothing(rerun)


def _loss(rerun: Rerun, capture: Capture) -> str:
    ours, told = rerun.loss, capture.loss
    if ours is None or told is None:
        return ""
    if ours == told or (math.isnan(ours) and math.isnan(told)):
        return f"The loss is that of the run: {told:.6g}" + ("." if math.isnan(told) else ", bit for bit.")
    return f"The loss is {ours:.6g}, that of the run was {told:.6g}: it is not quite the same step."


def _nothing(rerun: Rerun) -> Iterator[str]:
    yield from block("FINITE", "No NaN or Inf reached the loss or a gradient.", label_at=0)
    if rerun.notes:
        yield from block("", "With other weights than those of the step that says little.")


def _born(birth: Birth) -> Iterator[str]:
    kind = "NaN" if any(held.nan for held in birth.outputs) else "Inf"
    yield from block(kind, f"{_headline(birth)}", label_at=0)
    if birth.source:
        yield from block("line", birth.source)
    for number, held in enumerate(birth.inputs):
        yield from block("" if number else "in", described(held))
    for number, held in enumerate(birth.outputs):
        yield from block("" if number else "out", described(held))
    if why := _why(birth):
        yield from block("why", why)
    if birth.turned:
        yield from block("then", f"{birth.turned} made NaN of it")


def _headline(birth: Birth) -> str:
    if birth.phase == "loss":
        return "born in the loss, outside of the model"
    if birth.phase == "given":
        return f"there from the beginning: {birth.op}" + _at(birth)
    if birth.phase == "backward":
        return f"born in the backward pass: {birth.op} in {birth.node}{_at(birth, 'of ')}"
    return f"born in the forward pass: {birth.op}{_at(birth)}"


def _at(birth: Birth, word: str = "in ") -> str:
    if not birth.module_class:
        return ""
    name = f"{place(birth.module)} ({birth.module_class})" if birth.module else birth.module_class
    return f" {word}{name}"


def _why(birth: Birth) -> str:
    name = birth.op.rpartition(".")[2]
    if birth.phase == "loss":
        return (
            "What the model gave is finite; what was computed from it outside of the model is not. "
            "With --loss package.module:function the loss is run too."
        )
    if birth.phase == "given":
        return "The code or the data holds it; no operation of this step made it."
    if any(held.nan for held in birth.outputs):
        return NAN.get(name, "")
    held = birth.outputs[0]
    most = torch.finfo(getattr(torch, held.dtype)).max
    largest = max((abs(v) for r in birth.inputs for v in (r.low, r.high) if v is not None), default=0.0)
    if name in INF and largest < math.sqrt(most):
        return INF[name]
    return f"An overflow: {held.dtype} ends at {most:.5g}."


def described(held: Range) -> str:
    """Dtype, shape, range and what is bad, such as `float32 (16, 8), -1.04 to 0.745, 3 NaN of 128`."""
    name = f"{held.name}: " if held.name else ""
    parts = [f"{name}{held.dtype} {_shape(held.shape)}"]
    if held.low is not None and held.high is not None:
        parts.append(f"{held.low:.4g} to {held.high:.4g}" if held.low != held.high else f"all {held.low:.4g}")
    bad = [f"{n} {word}" for n, word in ((held.nan, "NaN"), (held.inf, "Inf")) if n]
    if bad:
        parts.append(f"{' and '.join(bad)} of {held.count}")
    return ", ".join(parts)


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})" if shape else "number"
