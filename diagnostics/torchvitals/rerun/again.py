"""Runs the micro-batches of a captured step on a model, forward and backward."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchvitals.captures.births import Birth, Range, Rerun
from torchvitals.captures.capture import Capture
from torchvitals.captures.randomness import restore
from torchvitals.captures.trees import inputs_of, leaves, unpack
from torchvitals.core.errors import TorchvitalsError
from torchvitals.probes.reduce import tensors
from torchvitals.rerun.search import Search
from torchvitals.rerun.weights import load

LossFn = Callable[..., Tensor]
CLOSE = 1e-3
"""Relative distance up to which a loss counts as the recorded one."""


class RerunFailed(TorchvitalsError):
    """The step could not be run again."""


@dataclass
class _Course:
    """What has been computed so far."""

    losses: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    by: str = ""
    seeds_bad: bool = False
    notes: list[str] = field(default_factory=list)


def rerun(
    capture: Capture,
    model: nn.Module,
    *,
    loss: LossFn | None = None,
    checkpoint: str | None = None,
    device: str | None = None,
) -> Rerun:
    """Run the captured step on `model` and look at every operation of it.

    The weights are those of `checkpoint`, else those of the capture, else the model's own. The loss is
    that of a LightningModule's `training_step`; or `loss(output, target)` where a target is known, else
    `loss(output)`; or that of the loss functions that were seen. Where none of these gives the loss of the
    run, the gradients that came back to the model's outputs are backpropagated instead. The global random
    state is left as the step leaves it, and so is the model: moved, with other weights, in the mode of the
    step, with gradients. Raises `RerunFailed` where the capture does not hold enough, or the
    model raises.
    """
    place = torch.device(device or _device(capture))
    model.to(place)
    weights, notes = load(capture, model, checkpoint)
    model.zero_grad(set_to_none=True)
    search = Search(model)
    course = _Course()
    try:
        with search, _eager(model):
            for iteration in capture.header["iterations"]:
                _Pass(capture, model, iteration, loss, search, course, place).run()
    except RerunFailed:
        raise
    except Exception as error:
        raise RerunFailed(f"the model raised {type(error).__name__}: {error}") from error
    finally:
        search.close()
    if not capture.header["iterations"]:
        raise RerunFailed("the capture holds no batch, so there is nothing to run again")
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    lost = course.seeds_bad or (not course.losses and capture.loss is not None and _nonfinite(capture.loss))
    roots = [*course.losses, *gradients, *(course.outputs if lost else ())]
    return Rerun(
        device=str(place),
        weights=weights,
        loss=sum(map(_number, course.losses)) / len(course.losses) if course.losses else None,
        by=course.by,
        birth=search.reached(roots) or _in_the_loss(capture, course),
        notes=(*notes, *course.notes),
    )


@dataclass
class _Pass:
    """One micro-batch."""

    capture: Capture
    model: nn.Module
    iteration: Mapping[str, Any]
    loss: LossFn | None
    search: Search
    course: _Course
    device: torch.device

    def run(self) -> None:
        self._set_modes()
        with self._autocast():
            if self.iteration["batch"] is not None:
                outputs, calls = [], []
                loss = self._with_batch()
            else:
                outputs, calls = self._calls()
                loss = self._loss(outputs, calls)
        self.course.outputs += [x for out in outputs for x in tensors(out)]
        if loss is not None:
            self.course.losses.append(loss)
            self.course.by = self.course.by or "the loss"
            if loss.requires_grad:
                (loss.float().mean() * self.capture.scale).backward()
        else:
            self._from_gradients(outputs, calls)

    def _set_modes(self) -> None:
        self.model.train(self.iteration["training"] is not False)
        otherwise = set(self.capture.header["otherwise"])
        for path, module in self.model.named_modules():
            if path in otherwise:
                module.training = not self.model.training

    def _autocast(self) -> Any:
        if self.iteration["autocast"] is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.iteration["autocast"][1]))

    # -- forward

    def _with_batch(self) -> Tensor | None:
        self._look_at(leaves(self.iteration["batch"], "batch"))
        batch = self._unpack(self.iteration["batch"])
        self._restore(self.iteration["random"])
        if hasattr(self.model, "training_step"):
            return _only_loss(self._training_step(batch))
        paired = isinstance(batch, (tuple, list)) and len(batch) == 2
        # As in `preflight`, a loss of what a mapping gave finds its target in the mapping.
        targets = [batch[1]] if paired else [batch] if isinstance(batch, dict) else []
        out = self.model(**batch) if isinstance(batch, dict) else self.model(batch[0] if paired else batch)
        self.course.outputs += list(tensors(out))
        return self.loss(out, *targets) if self.loss is not None else _only_loss(getattr(out, "loss", None))

    def _training_step(self, batch: Any) -> Any:
        step: Any = self.model.training_step
        wants_index = len(inspect.signature(step).parameters) > 1
        return step(batch, self.iteration["index"]) if wants_index else step(batch)

    def _calls(self) -> tuple[list[Any], list[Mapping[str, Any]]]:
        calls, outputs = self.iteration["calls"], []
        for call in calls:
            self._look_at(inputs_of(call["given"]))
            args, kwargs = self._unpack(call["given"])
            self._restore(call["random"])
            outputs.append(self.model(*args, **kwargs))
        return outputs, calls

    def _loss(self, outputs: list[Any], calls: list[Mapping[str, Any]]) -> Tensor | None:
        """As the user computes it, or as it was seen to be computed; None where it is not that of the run."""
        seen = [
            (list(tensors(out)), s) for out, call in zip(outputs, calls, strict=True) for s in call["losses"]
        ]
        if self.loss is not None:
            targets = [self._unpack(told["given"]).get("target") for _, told in seen]
            return self.loss(outputs[-1], *targets[:1])
        if not seen:
            return None
        losses = [self._again(flat[told["output"]], told) for flat, told in seen]
        total = sum(losses[1:], losses[0])
        told = self.capture.loss
        alone = len(self.capture.header["iterations"]) == 1
        if not alone or told is None or _alike(_number(total), told):
            return total
        self.course.notes.append(
            f"The loss functions that were seen give {_number(total):.6g} and not {told:.6g}, the loss of "
            "the run: there was more to it, or the weights are other ones."
        )
        return None

    def _again(self, out: Tensor, told: Mapping[str, Any]) -> Tensor:
        given = self._unpack(told["given"])
        return getattr(F, told["op"])(out.reshape(told["shape"]), **given).mean()

    # -- backward

    def _from_gradients(self, outputs: list[Any], calls: list[Mapping[str, Any]]) -> None:
        self.course.by = "the gradients that came back to the model's outputs"
        roots, seeds = [], []
        for out, call in zip(outputs, calls, strict=True):
            flat = list(tensors(out))
            for i, keys in call["gradients"]:
                parts = [self._tensor(key) for key in keys if key in self.capture.arrays]
                if parts and flat[i].requires_grad and parts[0].shape == flat[i].shape:
                    roots.append(flat[i])
                    seeds.append(sum(parts[1:], parts[0]).to(flat[i].dtype))
        if not roots:
            self.course.by = "nothing: no loss is known, and no gradient was kept"
            return
        self.course.seeds_bad |= any(not bool(torch.isfinite(seed).all()) for seed in seeds)
        named = {f"gradient of output {i}": seed for i, seed in enumerate(seeds)}
        self.search.given(named, phase="loss", deliberate=False)
        torch.autograd.backward(roots, seeds)

    # -- tensors

    def _look_at(self, found: Any) -> None:
        for name, kind, held in found:
            if kind == "lost" or held not in self.capture.arrays:
                why = held if kind == "lost" else self.capture.header["tensors"][held].get("missing")
                raise RerunFailed(f"{name} is not in the capture: {why}")
            self.search.given({name: self._tensor(held)})

    def _unpack(self, tree: Any) -> Any:
        return unpack(tree, self._tensor)

    def _tensor(self, key: str) -> Tensor:
        """The same one each time: its mark belongs to its memory."""
        cache = self.__dict__.setdefault("_cache", {})
        if key not in cache:
            x = self.capture.tensor(key).to(self.device)
            wants = self.capture.header["tensors"][key].get("requires_grad") and x.is_floating_point()
            cache[key] = x.requires_grad_() if wants else x
        return cache[key]

    def _restore(self, prefix: str | None) -> None:
        if prefix is not None:
            restore(self.capture.random(prefix), device=self.device)


def _in_the_loss(capture: Capture, course: _Course) -> Birth | None:
    """Where all that could be run again is finite, but the loss of the run was not."""
    if course.losses or capture.loss is None or not _nonfinite(capture.loss):
        return None
    nan = capture.loss != capture.loss
    loss = Range(
        name="loss", dtype="float32", shape=(), low=None, high=None, count=1, nan=int(nan), inf=int(not nan)
    )
    return Birth(op="loss", phase="loss", outputs=(loss,))


def _only_loss(result: Any) -> Tensor | None:
    """Of whatever a `training_step` or a model gave."""
    loss = result.get("loss") if isinstance(result, Mapping) else result
    return loss if isinstance(loss, Tensor) else None


def _device(capture: Capture) -> str:
    """That of the run, where there is one here."""
    of_run = {about["device"].partition(":")[0] for about in capture.header["tensors"].values()}
    return "cuda" if "cuda" in of_run and torch.cuda.is_available() else "cpu"


def _eager(model: nn.Module) -> Any:
    """Compiled code would hide its operations."""
    compiled = any(type(m).__name__ == "OptimizedModule" for m in model.modules())
    stance = getattr(torch.compiler, "set_stance", None)
    return stance("force_eager") if compiled and stance is not None else contextlib.nullcontext()


def _number(loss: Tensor) -> float:
    return float(loss.detach().float().mean())


def _nonfinite(x: float) -> bool:
    return x != x or x in (float("inf"), -float("inf"))


def _alike(ours: float, told: float) -> bool:
    if _nonfinite(ours) or _nonfinite(told):
        return _nonfinite(ours) and _nonfinite(told)
    return abs(ours - told) <= CLOSE * max(abs(ours), abs(told))
