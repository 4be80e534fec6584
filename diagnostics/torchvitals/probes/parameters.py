"""Probes that look at parameters and gradients where they lie, without hooks."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.reduce import STATISTICS, dense, limit, summarise


class _ParameterRows(Probe):
    """Shared by the probes whose rows are parameters: keeps rows from measuring to `collect`."""

    kind: ClassVar[str]
    statistics: ClassVar[tuple[str, ...]] = STATISTICS

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._rows: list[Row] = []

    def keep(self, name: str, x: Tensor) -> None:
        known = {"count": float(dense(x).numel()), "limit": limit(x)}
        self._rows.append(Row(name=name, known=known, values=summarise(x)))

    def collect(self) -> Iterable[Measurement]:
        rows, self._rows = self._rows, []
        return stacked(self.kind, rows, self.statistics)


class GradientProbe(_ParameterRows):
    """Gradients as the optimizer will consume them: all statistics on due steps, else one fused pass of
    norms.
    """

    name = kind = "gradient"
    provides = frozenset({"gradient"})
    always = True

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._fused: list[Measurement] = []

    def gradients_ready(self, *, due: bool) -> None:
        gradients = self.subject.gradients()
        if due:
            for name, _, gradient in gradients:
                self.keep(name, gradient)
            return
        for device in dict.fromkeys(g.device for *_, g in gradients):
            self._fused.append(
                fused_norms([(name, dense(g)) for name, _, g in gradients if g.device == device])
            )

    def collect(self) -> Iterable[Measurement]:
        fused, self._fused = self._fused, []
        return [*super().collect(), *fused]


_NARROW = (torch.float16, torch.bfloat16)


def fused_norms(gradients: list[tuple[str, Tensor]]) -> Measurement:
    """Sums of squares of all gradients in one pass. A norm that is not finite marks its row as non-finite."""
    wide = [g.float() if g.dtype in _NARROW else g for _, g in gradients]
    norms = torch.stack(torch._foreach_norm(wide)).double()  # pyright: ignore[reportPrivateImportUsage]
    bad = ~torch.isfinite(norms)
    return Measurement(
        kind="gradient",
        names=tuple(name for name, _ in gradients),
        known={"count": [float(g.numel()) for _, g in gradients], "limit": [limit(g) for _, g in gradients]},
        statistics=("nonfinite", "sum_sq"),
        values=torch.stack([bad.double(), torch.where(bad, 0.0, norms * norms)], dim=1),
    )


class ParameterProbe(_ParameterRows):
    """Parameters as the forward pass of the step used them."""

    name = kind = "parameter"
    provides = frozenset({"parameter"})

    def gradients_ready(self, *, due: bool) -> None:
        if due and not self._rows:
            for name, parameter in self.subject.parameters:
                if parameter.is_floating_point() or parameter.is_complex():
                    self.keep(name, parameter)


class UpdateProbe(_ParameterRows):
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
        now = dict(self.subject.parameters)
        for name, before in self._before.items():
            if name in now and now[name].shape == before.shape:
                self.keep(name, now[name].detach() - before)
        self._before = {}
        return super().collect()

    def disarm(self) -> None:
        self._before = {}


class SymmetryProbe(_ParameterRows):
    """Units of a weight matrix that are twins of their neighbour in weights and gradient."""

    name = kind = "symmetry"
    provides = frozenset({"symmetry"})
    statistics = ("symmetric_rows",)

    def gradients_ready(self, *, due: bool) -> None:
        if not due:
            return
        embeddings = {
            path for path, m in self.subject.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))
        }
        for name, parameter, gradient in self.subject.gradients():
            rows = parameter.shape[0]
            # Rows of an embedding are tokens, not units; a row of one number is too little to tell twins by.
            matrix = (
                parameter.ndim >= 2 and rows >= 2 and parameter[0].numel() >= 2 and not gradient.is_sparse
            )
            if matrix and name.rpartition(".")[0] not in embeddings:
                count = _symmetric_rows(parameter.detach(), gradient.detach())
                self._rows.append(Row(name=name, known={"rows": float(rows)}, values=count.reshape(1)))


def _symmetric_rows(w: Tensor, gradient: Tensor) -> Tensor:
    """Rows that are twins in both: a float64 scalar on the device of `w`."""
    twins = _twins(w)
    # In a healthy net there are none, so that the gradient need not be looked at.
    if w.device.type == "cpu" and not twins.numpy().any():
        return torch.zeros((), dtype=torch.float64)
    twins &= _twins(gradient)
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
