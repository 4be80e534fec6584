"""The probe of whether the samples of a batch are computed independently of each other."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.copies import alone, flipped, fresh
from torchvitals.probes.generators import require_own_generators
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.mixable import (
    Unfit,
    batch_size,
    first_output,
    require_batches,
    require_small,
    sequence_length,
)
from torchvitals.probes.reduce import tensors
from torchvitals.probes.silenttwin import Part, Twin, scale
from torchvitals.probes.sites import Tracer

_NOISE = 1e-5
"""part of the output's scale by which two equal passes may differ"""


class MixingProbe(Probe):
    """How much the output for one sample changes when all others are replaced by copies of it.

    A permutation of the others would not do: sums over the batch, such as those of a softmax along it, stay
    the same. The sample is the middle one, since what runs along the batch in one direction leaves one end
    as it was. Measured at the end of the first due step that ran the model, on a deep copy in eval mode
    without gradients, with the state of the random generators restored before each pass. Only models are
    measured whose inputs all have dimension 0 in common. Where that of the samples may be dimension 1, as in
    sequences, it is also measured whether the model tells the places along that one apart.
    """

    name = "mixing"
    provides = frozenset({"mixing"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._tracer = Tracer(self, subject.clock)
        self._call: tuple[str, nn.Module, Any, Any] | None = None
        self._done = False
        self._why_not: str | None = None

    def arm(self) -> None:
        if not self._done:
            self._tracer.attach(self.subject.modules())

    def root_call(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
    ) -> None:
        trains = next(module.parameters(), None) is not None
        if self._call is None and not self._done and trains and next(tensors(out), None) is not None:
            self._call = path or "model", module, args, kwargs

    def failed(self, error: Exception) -> None:
        self._refuse(error)

    def collect(self) -> Iterable[Measurement]:
        if self._call is None:
            return []
        (path, module, args, kwargs), self._call = self._call, None
        self._done = True
        try:
            return stacked("mixing", _rows(path, module, args, kwargs), ("mixing", "across"))
        except Exception as error:  # the user's code, run in a way that it may not be made for
            self._refuse(error)
            return []

    def disarm(self) -> None:
        self._call = None
        self._tracer.detach()

    def state(self) -> dict[str, Any]:
        return {"done": self._done, "why_not": self._why_not}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._done, self._why_not = state.get("done", False), state.get("why_not")

    def blind(self) -> Iterable[str]:
        if self._why_not is not None:
            yield f"Whether samples of a batch influence each other was not measured: {self._why_not}."

    def _refuse(self, error: Exception) -> None:
        self._done = True
        why = str(error) if isinstance(error, Unfit) else f"a copy of the model raised {type(error).__name__}"
        self._why_not = self._why_not or why


def _rows(path: str, module: nn.Module, args: Any, kwargs: Any) -> list[Row]:
    """A row for each module whose output is a batch as large as the input, in the order in which they end;
    the last one is the model's.
    """
    require_small(module)
    given, size = (args, kwargs), batch_size((args, kwargs))
    require_batches(module, given, size)
    require_own_generators(module)
    twin, kept = Twin(module, size, size // 2), size // 2
    part, inner, repeats, across = _as_given(twin, given, kept, sequence_length(module, given))
    changed, others = twin.parts(alone(given, kept))
    change = _change(part, Part.of(first_output(changed, size), kept))
    told = torch.stack([torch.where(repeats, change, 0.0), torch.where(repeats, across, -1.0)])
    known = {"batch": float(size)}
    found = [
        Row(name=name, known=known, values=torch.stack([_change(x, others[name]), told[1]]))
        for name, x in inner.items()
        if name in others and x.shape == others[name].shape and x.row.device == part.row.device
    ]
    return [*found, Row(name=path, known=known, values=torch.nan_to_num(told, nan=0.0, posinf=0.0))]


def _as_given(twin: Twin, given: Any, row: int, length: int) -> tuple[Part, dict[str, Part], Tensor, Tensor]:
    """Parts of the output and of those inside, whether they come again, and `_across`.

    The whole output, which only these comparisons read, is let go of with the end of this.
    """
    size = batch_size(given)
    whole, inner = twin.parts(fresh(given))
    out = first_output(whole, size).clone()  # later passes may write to what the model gives
    del whole
    # A model whose output differs from call to call says nothing about its samples.
    again = first_output(twin.of(fresh(given)), size)
    repeats = (out.double() - again.double()).abs().amax() <= _NOISE * scale(out)
    del again
    turned = first_output(twin.of(flipped(given)), size) if length else None
    return Part.of(out, row), inner, repeats, _across(out, turned, length)


def _change(out: Part, changed: Part) -> Tensor:
    """Largest change of a row over the output's largest entry: a float64 scalar."""
    return torch.nan_to_num((out.row - changed.row).abs().amax() / out.scale, nan=0.0, posinf=0.0)


def _across(out: Tensor, turned: Tensor | None, length: int) -> Tensor:
    """How far the output is from being turned about with an input that was turned about along dimension 1:
    not at all, if that is where the samples lie. 1 where the output has no such dimension, -1 where the
    input has none.
    """
    if turned is None or turned.shape != out.shape:
        return out.new_full((), -1.0, dtype=torch.float64)
    if length not in out.shape[1:]:
        return out.new_ones((), dtype=torch.float64)
    if out.ndim < 3 or out.shape[1] != length:
        return out.new_full((), -1.0, dtype=torch.float64)
    change = (turned.flip(1).double() - out.double()).abs().amax()
    return torch.nan_to_num(change / scale(out), nan=-1.0, posinf=-1.0)
