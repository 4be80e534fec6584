"""Where in the model and in the user's code an operation runs, or the forward operation of a backward one."""

import linecache
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

_OURS = str(Path(__file__).parents[1]) + os.sep
_FOREIGN = (
    *(str(Path(torch.__file__).parent) + os.sep, sysconfig.get_path("stdlib") + os.sep),
    *(f"{os.sep}{name}{os.sep}" for name in ("pytorch_lightning", "lightning", "lightning_fabric")),
)


@dataclass(frozen=True)
class Place:
    """A module by path and class, and a line of code as (file, number) or None."""

    module: str = ""
    module_class: str = ""
    line: tuple[str, int] | None = None

    @property
    def source(self) -> str:
        """The line with its text, its file as seen from here."""
        if self.line is None:
            return ""
        file, number = self.line
        text = linecache.getline(file, number).strip()
        near = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
        return f"{near}:{number}" + (f": {text}" if text else "")


class Places:
    """Follows which module runs, and remembers which one made which node of autograd."""

    def __init__(self, model: nn.Module) -> None:
        self._stack: list[tuple[str, str]] = []
        self._made: dict[int, Place] = {}
        self._handles: list[RemovableHandle] = []
        for path, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                self._hook(path, module)

    def _hook(self, path: str, module: nn.Module) -> None:
        frame = path, type(module).__name__

        def enter(*_: Any) -> None:
            self._stack.append(frame)

        def leave(*_: Any) -> None:
            if frame in self._stack:
                del self._stack[self._stack.index(frame) :]

        self._handles.append(module.register_forward_pre_hook(enter))
        self._handles.append(module.register_forward_hook(leave, always_call=True))

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def here(self) -> tuple[Place, str]:
        """Of the operation that runs now: its place, and the node of autograd if it belongs to one."""
        node = torch._C._current_autograd_node()
        line = _line()
        if node is None or self._stack:
            module, cls = self._stack[-1] if self._stack else ("", "")
            return Place(module, cls, line), ""
        made = self._made.get(node._sequence_nr(), Place())
        return (Place(made.module, made.module_class, line) if line else made), node.name()

    def note(self) -> None:
        """An operation ran forward: if autograd made a node for it, remember where that was."""
        number = torch.autograd._get_sequence_nr() - 1  # pyright: ignore[reportPrivateImportUsage]
        if number not in self._made and torch._C._current_autograd_node() is None:
            self._made[number] = self.here()[0]


def _line() -> tuple[str, int] | None:
    """The innermost line that is neither torch's nor ours."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OURS) and not any(part in file for part in _FOREIGN):
            return None if file.startswith("<") else (file, frame.f_lineno)
        if file == _AGAIN:
            return None  # only what called the re-run is beyond
        frame = frame.f_back
    return None


_AGAIN = str(Path(__file__).with_name("again.py"))
