"""Looks at every operation of a step, forward and backward, for the first NaN or Inf that came to matter."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from torchvitals.captures.births import Birth, Range
from torchvitals.rerun.places import Places

_UNWRITTEN = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "set_"}
"""Operations whose results hold whatever was in memory."""
_OVERWRITING = {"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_"}
"""Operations that do not read the tensor that they write."""


class Search(TorchDispatchMode):
    """Each bad tensor carries a mark: the birth that its first NaN or Inf goes back to.

    An operation whose bad result had bad inputs passes their mark on; one whose inputs were finite is a
    birth. An Inf that the code wrote down itself, as masks do, is `deliberate`: what passes it on is not
    accused, but what makes NaN of it is. What nothing bad reaches the loss or a gradient from is forgotten.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.births: list[Birth] = []
        self._places = Places(model)
        self._marks: dict[int, int] = {}
        self.given({f"parameter {n}": p for n, p in model.named_parameters()}, deliberate=False)
        self.given({f"buffer {n}": b for n, b in model.named_buffers()})

    def close(self) -> None:
        self._places.close()

    def given(self, named: Mapping[str, Tensor], *, phase: str = "given", deliberate: bool = True) -> None:
        """Tensors that come from outside. An Inf without NaN in them may be `deliberate`."""
        for name, x in named.items():
            if _bad(x):
                held = Range.of(x, name)
                birth = Birth(op=name, phase=phase, outputs=(held,), deliberate=deliberate and not held.nan)
                self._mark(x, self._born(birth))

    def reached(self, roots: Iterable[Tensor]) -> Birth | None:
        """The first birth that bad ones of these tensors go back to, a deliberate one only if no other."""
        found = {mark for x in roots if _bad(x) and (mark := self._mark_of(x)) is not None}
        real = [mark for mark in found if not self.births[mark].deliberate]
        return self.births[min(real or found)] if found else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        inputs = [x for x in tree_leaves((args, {k: v for k, v in kwargs.items() if k != "out"})) if _is(x)]
        if name in _OVERWRITING:
            inputs = inputs[1:]
        writes = func._schema.is_mutable
        # What is written in place has to be looked at before.
        before = [Range.of(x) for x in inputs] if writes else None
        out = func(*args, **kwargs)
        self._places.note()
        outputs = [x for x in tree_leaves(out) if _is(x)]
        if not writes:
            storages = {_storage(x) for x in inputs}
            outputs = [x for x in outputs if _storage(x) not in storages]  # views hold nothing new
        if name not in _UNWRITTEN and any(_bad(x) for x in outputs):
            ranges = before or [Range.of(x) for x in inputs]
            self._judge(func, inputs, ranges, outputs, (args, kwargs))
        else:
            for x in outputs:
                self._marks.pop(_storage(x), None)
        return out

    def _judge(self, func: Any, inputs: list[Tensor], ranges: list[Range], outputs: list[Tensor], given: Any):
        marks = {self._mark_or_birth(x, r) for x, r in zip(inputs, ranges, strict=True) if not r.finite}
        real = [mark for mark in marks if not self.births[mark].deliberate]
        held = tuple(Range.of(x) for x in outputs)
        made_nan = any(r.nan for r in held) and not any(r.nan for r in ranges)
        if real:
            mark = min(real)
            if made_nan and not self.births[mark].turned and self.births[mark].phase != "given":
                self.births[mark] = replace(self.births[mark], turned=self._turned(func))
        elif marks and not made_nan:
            mark = min(marks)
        else:
            wrote_inf = not marks and any(_infinite(x) for x in tree_leaves(given))
            mark = self._born(self._birth(func, tuple(ranges), held, deliberate=wrote_inf))
        for x in outputs:
            if _bad(x):
                self._mark(x, mark)
            else:
                self._marks.pop(_storage(x), None)

    def _birth(self, func: Any, inputs: Any, outputs: Any, *, deliberate: bool) -> Birth:
        place, node = self._places.here()
        return Birth(
            op=_name(func),
            phase="backward" if node else "forward",
            node=node,
            module=place.module,
            module_class=place.module_class,
            source=place.source,
            inputs=inputs,
            outputs=tuple(r for r in outputs if not r.finite),
            deliberate=deliberate,
        )

    def _turned(self, func: Any) -> str:
        place, node = self._places.here()
        within = f" in {node}" if node else ""
        return f"{_name(func)}{within}" + (f" of {place.module_class}" if place.module_class else "")

    def _mark_or_birth(self, x: Tensor, held: Range) -> int:
        """What is bad and was not seen to become so is a constant of the code."""
        known = self._mark_of(x)
        if known is not None:
            return known
        place, _ = self._places.here()
        constant = Birth(
            op="constant",
            phase="given",
            module=place.module,
            module_class=place.module_class,
            source=place.source,
            outputs=(held,),
            deliberate=not held.nan,
        )
        return self._born(constant)

    def _born(self, birth: Birth) -> int:
        self.births.append(birth)
        return len(self.births) - 1

    def _mark(self, x: Tensor, mark: int) -> None:
        self._marks[_storage(x)] = mark

    def _mark_of(self, x: Tensor) -> int | None:
        return self._marks.get(_storage(x))


def _is(x: Any) -> bool:
    return isinstance(x, Tensor) and x.layout is torch.strided and not x.is_meta and x.numel() > 0


def _bad(x: Tensor) -> bool:
    if not _is(x) or not (x.is_floating_point() or x.is_complex()):
        return False
    return not bool(torch.isfinite(x.detach()).all())


def _infinite(x: Any) -> bool:
    return isinstance(x, float) and x in (float("inf"), -float("inf"))


def _storage(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _name(func: Any) -> str:
    return func._schema.name.replace("::", ".")
