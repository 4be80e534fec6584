"""Explains diagnostics and changes their thresholds by name; without it the command line could do neither."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from itertools import pairwise
from typing import Any, TypeVar

from torchvitals.core.errors import FieldError, UnknownName
from torchvitals.core.protocols import Diagnostic, Documented
from torchvitals.reporters.words import WIDTH

T = TypeVar("T", bound=Documented)


def find(code_or_name: str, *, known: Mapping[str, type[T]]) -> type[T]:
    """The diagnostic with that code or name, in any case."""
    wanted = code_or_name.lower()
    for name, cls in known.items():
        if wanted in (name.lower(), cls.code.lower()):
            return cls
    raise UnknownName("diagnostic", code_or_name, [*known, *(cls.code for cls in known.values())])


def first_line(cls: type[Documented]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def explain(cls: type[Documented]) -> Iterator[str]:
    """Code, name, docstring, and the thresholds with their defaults, in lines for a terminal."""
    yield f"{cls.code} {cls.name}"
    yield ""
    yield from _rewrapped(inspect.getdoc(cls) or "(no documentation)")
    yield ""
    yield from _wrapped(f"Needs: {', '.join(sorted(cls.needs)) or 'nothing'}", indent=7)
    yield "Thresholds:" if _fields(cls) else "Thresholds: none"
    notes = notes_of(cls)
    for field in _fields(cls):
        within = "in [{:g}, {:g}]".format(*cls.ranges[field.name]) if field.name in cls.ranges else ""
        yield f"  {field.name} = {field.default!r}  {within}".rstrip()
        yield from _wrapped(" " * 6 + notes.get(field.name, ""), indent=6)


def _rewrapped(text: str) -> Iterator[str]:
    """Paragraphs filled anew. Lines that are indented, or of a list or a table, stay lines."""
    for number, paragraph in enumerate(text.split("\n\n")):
        lines = paragraph.splitlines()
        plain = not any(line.startswith((" ", "-", "*", "|", ">>>")) for line in lines)
        if number:
            yield ""
        for line in [" ".join(lines)] if plain else lines:
            yield from _wrapped(line, indent=len(line) - len(line.lstrip()))


def _wrapped(line: str, *, indent: int) -> list[str]:
    """At most 80 columns wide. Names are never broken: they get copied."""
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def page(known: Mapping[str, type[Documented]]) -> Iterator[str]:
    """All diagnostics as Markdown; docs/diagnostics.md is this and nothing else."""
    yield "# Diagnostics"
    yield ""
    yield "Written by `torchvitals explain all` from the docstrings; `make docs` writes it again."
    for cls in known.values():
        yield from ("", f"## {cls.code} {cls.name}", "", inspect.getdoc(cls) or "(no documentation)")
        yield from ("", f"Needs: {', '.join(sorted(cls.needs)) or 'nothing'}.")
        if _fields(cls):
            yield from ("", "| threshold | default | meaning |", "|---|---|---|")
        notes = notes_of(cls)
        for field in _fields(cls):
            yield f"| `{field.name}` | {field.default!r} | {notes.get(field.name, '')} |"


def _fields(cls: type[Documented]) -> tuple[Field[Any], ...]:
    return fields(cls) if is_dataclass(cls) else ()


def notes_of(cls: type[Documented]) -> dict[str, str]:
    """The string under each field, which Python itself forgets. Empty where there is no source code."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):
        return {}
    notes = {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for line, below in pairwise(body):
        match line, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(note))):
                notes[name] = " ".join(note.split())
    return notes


def with_thresholds(
    changes: Iterable[str], *, known: Mapping[str, type[Diagnostic]]
) -> tuple[Diagnostic, ...]:
    """All diagnostics, with changes such as `vanishing-gradient.decades=2`.

    Raises `UnknownName` or `FieldError` for one that cannot be made.
    """
    given: dict[type[Diagnostic], dict[str, Any]] = {cls: {} for cls in known.values()}
    for change in changes:
        path, equals, value = change.partition("=")
        name, dot, field = path.rpartition(".")
        if not (equals and dot):
            raise FieldError("--set", change, "NAME.FIELD=VALUE, such as vanishing-gradient.decades=2")
        cls = find(name, known=known)
        if field not in (names := [f.name for f in _fields(cls)]):
            raise UnknownName(f"threshold of {cls.name}", field, names)
        given[cls][field] = _number(change, value)
    return tuple(cls(**thresholds) for cls, thresholds in given.items())


def _number(change: str, value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError) as error:
        raise FieldError("--set", change, "a value that Python reads, such as 2, 0.5 or True") from error
