"""Rules on what a diagnostic looks like: a frozen dataclass with a code, a name, needs and a docstring."""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from typing import Any, cast

from torchvitals.core.protocols import Diagnostic

PARAGRAPHS = ("What it measures:", "Why it matters:", "When it is wrong:", "What to try:", "Source:")
"""How the paragraphs of a docstring begin, in this order, after its first sentence."""
PURE = frozenset({"numpy", "torchvitals"})
"""What a diagnostic may import besides the standard library and its own package."""
OWN = re.compile(r"torchvitals(\.(core|builtin|testing)(\..+)?)?")
"""Of torchvitals itself: the rooms that know no torch, and the public door."""


def thresholds(cls: type[Diagnostic]) -> tuple[Field[Any], ...]:
    return fields(cast("Any", cls))


def _is_diagnostic(cls: Any) -> Iterator[str]:
    if not (isinstance(cls, type) and issubclass(cls, Diagnostic)):
        yield "is not a subclass of torchvitals.Diagnostic."


def _is_frozen_dataclass(cls: type[Diagnostic]) -> Iterator[str]:
    parameters = vars(cls).get("__dataclass_params__")
    if parameters is None:
        yield "is not a dataclass; write @dataclass(frozen=True, kw_only=True) above it."
    elif not parameters.frozen:
        yield "is not frozen; write @dataclass(frozen=True, kw_only=True) above it."
    for field in () if parameters is None else thresholds(cls):
        if not field.kw_only:
            yield f"the field {field.name} is not keyword-only; write kw_only=True."


def _is_concrete(cls: type[Diagnostic]) -> Iterator[str]:
    if inspect.isabstract(cls):
        yield "does not define diagnose(window)."


def _has_name_and_code(cls: type[Diagnostic]) -> Iterator[str]:
    for word, pattern, example in (
        ("code", r"[A-Z]{2,}[0-9]{2,}", "AB101"),
        ("name", r"[a-z0-9]+(-[a-z0-9]+)*", "dead-units"),
    ):
        value = getattr(cls, word, None)
        if not (isinstance(value, str) and re.fullmatch(pattern, value)):
            yield f"{word} is {value!r}, not of the form {example!r}."
    if cls.code.startswith("TV") and cls.__module__.partition(".")[0] != "torchvitals":
        yield f"code is {cls.code!r}: TV is torchvitals' own, choose other letters."


def _has_needs(cls: type[Diagnostic]) -> Iterator[str]:
    needs = getattr(cls, "needs", None)
    if not (isinstance(needs, frozenset) and all(isinstance(kind, str) and kind for kind in needs)):
        yield f"needs is {needs!r}, not a frozenset of kinds of tables."


def _is_documented(cls: type[Diagnostic]) -> Iterator[str]:
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    if doc.startswith(f"{cls.__name__}("):  # what dataclass writes where nothing was written
        doc = ""
    first, *rest = [" ".join(paragraph.split()) for paragraph in doc.split("\n\n")]
    if not first.endswith("."):
        yield "its docstring does not begin with a sentence that ends with a full stop."
    for start in PARAGRAPHS:
        if not any(p.startswith(start) and len(p) > len(start) for p in rest):
            yield f"its docstring has no paragraph {start!r}."
    told = [start for p in rest for start in PARAGRAPHS if p.startswith(start)]
    if told != list(PARAGRAPHS):
        yield f"the paragraphs of its docstring come as {', '.join(told)} and not as {', '.join(PARAGRAPHS)}."


def _imports_no_torch(cls: type[Diagnostic]) -> Iterator[str]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    except (OSError, TypeError, KeyError):
        yield "its source code cannot be read; put it into a file."
        return
    home = cls.__module__.partition(".")[0]
    for module in _imported(tree):
        top = module.partition(".")[0]
        pure = top in sys.stdlib_module_names or top in PURE or (top == home and home != "torchvitals")
        if not pure or (top == "torchvitals" and not OWN.fullmatch(module)):
            yield f"its file imports {module}; a diagnostic needs numpy and the standard library only."


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


FORM: tuple[Callable[[Any], Iterator[str]], ...] = (
    _is_diagnostic,
    _is_frozen_dataclass,
    _is_concrete,
    _has_name_and_code,
    _has_needs,
    _is_documented,
    _imports_no_torch,
)
