"""Probes that look at parameters and gradients where they lie, without hooks."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.reduce import dense, limit, summarise_exactly

Named = tuple[str, Tensor]

_NARROW = (torch.float16, torch.bfloat16)


class _Norms(Probe):
    """Shared by the probes whose rows are parameters: counts of non-finite entries and sums of squares."""

    kind: ClassVar[str]

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._blocks: list[Measurement] = []

    def keep(self, named: Iterable[Named]) -> None:
        """Measure now, hand over in `collect`. Tensors of one device and dtype share one fused pass."""
        groups: dict[object, list[Named]] = {}
        for name, x in ((name, dense(x)) for name, x in named):
            if x.numel():
                groups.setdefault((x.device, x.dtype), []).append((name, x))
        self._blocks += [norms(self.kind, group) for group in groups.values()]

    def collect(self) -> Iterable[Measurement]:
        blocks, self._blocks = self._blocks, []
        return blocks


class GradientProbe(_Norms):
    """Gradients as the optimizer will consume them, at every step."""

    name = kind = "gradient"
    provides = frozenset({"gradient"})
    always = True

    def gradients_ready(self, *, due: bool) -> None:
        self.keep((name, gradient) for name, _, gradient in self.subject.gradients())


class ParameterProbe(_Norms):
    """Parameters as the forward pass of the step used them."""

    name = kind = "parameter"
    provides = frozenset({"parameter"})

    def gradients_ready(self, *, due: bool) -> None:
        if due and not self._blocks:
            real = ((n, p) for n, p in self.subject.parameters if p.is_floating_point() or p.is_complex())
            self.keep(real)


class UpdateProbe(_Norms):
    """True updates w(t+1) - w(t), from a copy of the parameters that lives only while the optimizer steps."""

    name = kind = "update"
    provides = frozenset({"update"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._before: dict[str, Tensor] = {}

    def before_update(self) -> None:
        trainable = [(n, p) for n, p in self.subject.parameters if p.requires_grad and p.is_floating_point()]
        # Several optimizers may step one after the other: the copy from before the first one counts.
        self._before = self._before or {name: p.detach().clone() for name, p in trainable}

    def collect(self) -> Iterable[Measurement]:
        now = {name: p.detach() for name, p in self.subject.parameters}
        kept = [n for n, before in self._before.items() if n in now and now[n].shape == before.shape]
        self.keep((name, now[name] - self._before[name]) for name in kept)
        self._before = {}
        return super().collect()

    def disarm(self) -> None:
        self._before = {}

    def blind(self) -> Iterable[str]:
        held = {id(p) for o in self.subject.optimizers for group in o.param_groups for p in group["params"]}
        if not self.subject.optimizers:
            yield "No optimizer was given, so updates were not measured."
        elif not any(id(p) in held for _, p in self.subject.parameters):
            yield "The optimizer holds no parameter of the model."


def norms(kind: str, named: list[Named]) -> Measurement:
    """Sums of squares of tensors of one device and dtype, in one fused pass.

    A norm that is not finite sends its tensor into a second, exact look on the CPU, where looking is free. On
    other devices the norms are summed in float64, where only NaN and Inf can make them so: `nonfinite` is
    then 1 for "any".
    """
    tensors = [x for _, x in named]
    known = {"count": [float(x.numel()) for x in tensors], "limit": [limit(x) for x in tensors]}
    values = _on_cpu(tensors) if tensors[0].device.type == "cpu" else _on_device(tensors)
    names = tuple(name for name, _ in named)
    return Measurement(kind=kind, names=names, known=known, statistics=("nonfinite", "sum_sq"), values=values)


def _on_cpu(tensors: list[Tensor]) -> Tensor:
    wide = [x.float() for x in tensors] if tensors[0].dtype in _NARROW else tensors
    found = torch.stack(torch._foreach_norm(wide)).double()  # pyright: ignore[reportPrivateImportUsage]
    values = torch.stack([torch.zeros_like(found), found * found], dim=1)
    for i in (~torch.isfinite(values[:, 1])).numpy().nonzero()[0]:
        exact = summarise_exactly(tensors[i])
        values[i, 0], values[i, 1] = exact[0], exact[2]
    return values


def _on_device(tensors: list[Tensor]) -> Tensor:
    found = torch.stack(torch._foreach_norm(tensors, 2, torch.float64))  # pyright: ignore[reportPrivateImportUsage]
    bad = ~torch.isfinite(found)
    return torch.stack([bad.double(), torch.where(bad, 0.0, found * found)], dim=1)


class SymmetryProbe(Probe):
    """Units of a weight matrix that are twins of their neighbour in weights and gradient."""

    name = "symmetry"
    provides = frozenset({"symmetry"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._rows: list[Row] = []

    def gradients_ready(self, *, due: bool) -> None:
        if not due:
            return
        embeddings = {
            path for path, m in self.subject.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))
        }
        for name, parameter, gradient in self.subject.gradients():
            # Rows of an embedding are tokens, not units.
            if _is_matrix(parameter, gradient) and name.rpartition(".")[0] not in embeddings:
                count = _symmetric_rows(parameter.detach(), gradient.detach())
                known = {"rows": float(parameter.shape[0])}
                self._rows.append(Row(name=name, known=known, values=count.reshape(1)))

    def collect(self) -> Iterable[Measurement]:
        rows, self._rows = self._rows, []
        return stacked("symmetry", rows, ("symmetric_rows",))


def _is_matrix(w: Tensor, gradient: Tensor) -> bool:
    """Whether there are rows to compare; a row of one number is too little to tell twins by."""
    return w.ndim >= 2 and w.shape[0] >= 2 and w[0].numel() >= 2 and not gradient.is_sparse


def _symmetric_rows(w: Tensor, gradient: Tensor) -> Tensor:
    """Rows that are twins in both: a float64 scalar on the device of `w`.

    Rows without a gradient beside rows with one are not twins but idle: positions that no sequence reached,
    rows behind a gate that is still shut.
    """
    twins = _twins(w)
    # In a healthy net there are none, so that the gradient need not be looked at.
    if w.device.type == "cpu" and not twins.numpy().any():
        return torch.zeros((), dtype=torch.float64)
    moved = gradient.flatten(1).abs().amax(1) > 0
    twins &= _twins(gradient) & (moved[1:] | ~moved.any())
    return twins.sum(dtype=torch.float64) + twins.any()


def _twins(w: Tensor) -> Tensor:
    """Whether each row but the first equals the one before it up to rounding: bool, shape (rows - 1,).

    The gradients of equal units come out of a matrix product whose blocking may round them differently, so
    that they agree to a few units in the last place only.
    """
    rows = w.flatten(1)
    gap = (rows[1:] - rows[:-1]).abs().amax(1)
    scale = rows[1:].abs().amax(1)
    return gap <= 16 * torch.finfo(w.dtype).eps * scale
