"""A torch-function mode that is switched on and off in the middle of the user's code, and stays out of the
way of all others.
"""

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _get_current_function_mode_stack
from torch.utils._device import DeviceContext

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

_FAST = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)


class Switch(TorchFunctionMode):
    """On while modules of the model run; between the passes only as long as it can be in nobody's way.

    Modes leave their stack in the reverse order of their coming. A mode of the user that was there before
    would, on leaving, take this one off the stack instead of itself: beside such a mode this one does not
    stay. One that comes later is no harm: while it is there this one cannot be switched off, and `release`
    tries again later.
    """

    def __init__(self) -> None:
        super().__init__()
        self._on = False
        self._paused: nn.Module | None = None
        self._strangers: list[RemovableHandle] = []

    def on(self) -> None:
        if not self._on:
            self.__enter__()
            self._on = True

    def off(self) -> None:
        if self._on and _get_current_function_mode() is self:
            self.__exit__(None, None, None)
            self._on = False

    def stay(self) -> None:
        """Stay on although no module of the model runs; `may_stay` must have said so."""
        self.on()
        if not self._strangers:
            self._strangers = [
                register_module_forward_pre_hook(self._stranger_enters),
                register_module_forward_hook(self._stranger_leaves, always_call=True),
            ]

    @property
    def staying(self) -> bool:
        """Whether it is on, or only steps aside for a moment."""
        return self._on or self._paused is not None

    def may_stay(self) -> bool:
        """Whether no mode of the user is there (the default device's looks after itself), and nothing was
        compiled: compiled code would be compiled again for a mode that it has not seen.
        """
        others = [mode for mode in _get_current_function_mode_stack() if mode is not self]
        return all(isinstance(mode, DeviceContext) for mode in others) and not _compiles()

    def release(self) -> None:
        """Stop staying."""
        for handle in self._strangers:
            handle.remove()
        self._strangers = []
        self._paused = None
        self.off()

    def _stranger_enters(self, module: nn.Module, args: Any) -> None:
        if self._on and has_fast_path(module):
            self.off()
            self._paused = module

    def _stranger_leaves(self, module: nn.Module, args: Any, out: Any) -> None:
        if self._paused is module:
            self._paused = None
            self.on()


def has_fast_path(module: nn.Module) -> bool:
    """Whether the module would compute differently, if only in the last digits, were a mode on: attention in
    eval mode takes a fused way unless somebody listens.
    """
    return not module.training and isinstance(module, _FAST)


def _compiles() -> bool:
    """Whether anything in this process was compiled; asking must not import the compiler."""
    if torch.compiler.is_compiling():
        return True
    backends = getattr(sys.modules.get("torch._dynamo.eval_frame"), "cached_backends", {})
    return any(backend is not None for backend in backends.values())  # None is what keeps code uncompiled
