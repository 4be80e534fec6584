"""What the re-implemented tools measure, read once for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sweeps.scorecard.peers.look import BOUNDED, RECTIFIERS, Layer, Look
from sweeps.situations.training import Training


class Readings:
    """One set of hooks on a training, whoever asks for a look."""

    def __init__(self, training: Training) -> None:
        self._training = training
        model = training.model
        self._own = {name: m for name, m in model.named_modules() if not any(m.children())}
        self._ran: dict[str, Layer] = {}
        self._inputs: dict[str, Tensor] = {}
        self._made: dict[int, tuple[Tensor, int, str]] = {}
        self._whole: tuple[Tensor | None, Tensor | None] = (None, None)
        self._slopes: dict[int, Tensor] = {}
        self._weights = self._copied()
        self._look: Look | None = None
        self._handles: list[Any] = [model.register_forward_hook(self._through)]
        for path, module in self._own.items():
            self._handles.append(module.register_forward_hook(partial(self._after, path)))
            if isinstance(module, BOUNDED + RECTIFIERS):
                self._handles.append(module.register_forward_pre_hook(partial(self._before, path)))
        for p in model.parameters():
            if p.requires_grad and p.is_leaf:
                self._handles.append(p.register_post_accumulate_grad_hook(self._accumulated))

    def __deepcopy__(self, _memo: Any) -> "Readings":
        return self  # copies of the model take their hooks with them, which then know that they are copies

    def look(self, step: int, loss: Tensor | float | None) -> Look:
        """After iteration `step`; the same look for everybody who asks."""
        if self._look is None or self._look.step < step:
            with torch.no_grad():
                self._look = self._read(step, loss)
        return self._look

    def forget(self) -> None:
        """Drop what passes have left: those were not of the training."""
        for kept in (self._ran, self._inputs, self._made, self._slopes):
            kept.clear()
        self._whole = (None, None)

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self.forget()

    def _read(self, step: int, loss: Tensor | float | None) -> Look:
        training, before = self._training, self._weights
        self._weights = self._copied()
        batch = training.batch(step)
        x, y = batch[:2] if isinstance(batch, tuple | list) and len(batch) > 1 else (batch, None)
        given, out = self._whole
        value = loss.detach().float().mean().item() if isinstance(loss, Tensor) else loss
        look = Look(
            step=step,
            loss=float("nan") if value is None else float(value),
            told=value is not None,
            layers=tuple(self._ran.values()),
            weights=self._weights,
            before=before,
            gradients=self._gradients(),
            inputs=given if given is not None else tensor_of(x),
            output=out,
            targets=y if isinstance(y, Tensor) else None,
            rates=tuple(float(g["lr"]) for o in training.optimizers for g in o.param_groups),
        )
        self.forget()
        return look

    def _copied(self) -> dict[str, Tensor]:
        named = self._training.model.named_parameters()
        return {name: p.detach().clone() for name, p in named if p.requires_grad}

    def _gradients(self) -> dict[str, Tensor]:
        found = {}
        for name, p in self._training.model.named_parameters():
            slope = p.grad if p.grad is not None else self._slopes.get(id(p))
            if p.requires_grad and slope is not None:
                found[name] = slope.detach().to_dense() if slope.is_sparse else slope.detach()
        return found

    def _accumulated(self, p: Tensor) -> None:
        if p.grad is not None:
            self._slopes[id(p)] = p.grad

    def _through(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if torch.is_grad_enabled() and module is self._training.model:
            out = tensor_of(output)
            self._whole = (tensor_of(args), None if out is None else out.detach())

    def _before(self, path: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        given = tensor_of(args)
        if torch.is_grad_enabled() and module is self._own[path] and given is not None:
            self._inputs[path] = given.detach().clone()

    def _after(self, path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        out, given = tensor_of(output), tensor_of(args)
        if not torch.is_grad_enabled() or module is not self._own[path] or isinstance(module, nn.Identity):
            return
        if out is None or not out.is_floating_point():
            return
        made = self._made.get(id(given))
        direct = made is not None and given is not None and made[1] == given._version
        self._ran.pop(path, None)  # a layer that runs again is seen where it ran last
        self._ran[path] = Layer(
            path, module, out.detach().clone(), self._inputs.get(path), made[2] if made and direct else ""
        )
        self._made[id(out)] = (out, out._version, path)


def tensor_of(value: Any) -> Tensor | None:
    """The first tensor in what a module takes or gives; packed sequences are tuples too."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple | list):
        return next((t for t in map(tensor_of, value) if t is not None), None)
    return None


_open: dict[int, tuple[Readings, int]] = {}


@contextmanager
def readings(training: Training) -> Iterator[Readings]:
    """The readings of a training: its hooks come with the first who asks and go with the last."""
    key = id(training)
    shared, users = _open.get(key) or (Readings(training), 0)
    _open[key] = (shared, users + 1)
    try:
        yield shared
    finally:
        shared, users = _open.pop(key)
        if users > 1:
            _open[key] = (shared, users - 1)
        else:
            shared.close()
