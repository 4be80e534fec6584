"""Finds diagnostics, probes and reporters by their entry points: the built-in ones use the same door."""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from torchvitals.core.errors import FieldError, NameTaken, TorchvitalsError, UnknownName
from torchvitals.core.protocols import Diagnostic, Reporter


class BrokenPlugin(TorchvitalsError):
    """An installed entry point does not load or is not what its group promises."""


def installed(noun: str) -> dict[str, EntryPoint]:
    """Entry points of the group `torchvitals.<noun>s` by name. Raises `NameTaken` where two packages share
    one.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"torchvitals.{noun}s"):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise NameTaken(noun, point.name, (_owner(other), _owner(point)))
    return found


def load(noun: str, name: str) -> Any:
    """What is registered under that name. Raises `UnknownName` or `BrokenPlugin`."""
    points = installed(noun)
    if name not in points:
        raise UnknownName(noun, name, points)
    return _loaded(noun, points[name])


def load_all(noun: str) -> dict[str, Any]:
    """Everything that is installed, by name. Raises `BrokenPlugin`."""
    return {name: _loaded(noun, point) for name, point in installed(noun).items()}


def _loaded(noun: str, point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        place = f"{noun} {point.name!r} of {_owner(point)}"
        raise BrokenPlugin(f"The {place} does not load: {error!r}") from error


def diagnostics() -> dict[str, type[Diagnostic]]:
    """Every installed diagnostic by name, in the order of their codes."""
    found = {name: _checked(name, cls) for name, cls in load_all("diagnostic").items()}
    return dict(sorted(found.items(), key=lambda item: item[1].code))


def resolve(wanted: Iterable[str | Diagnostic] | None) -> tuple[Diagnostic, ...]:
    """Diagnostics ready to use: built with their defaults where only the name was given; None means all."""
    if wanted is None:
        return tuple(cls() for cls in diagnostics().values())
    wanted = _listed("diagnostics", wanted)
    built = [_checked(item, load("diagnostic", item))() if isinstance(item, str) else item for item in wanted]
    for item in built:
        if not isinstance(item, Diagnostic):
            raise FieldError(
                "diagnostics", item, "names of diagnostics, or diagnostics built from their class"
            )
    names = [item.name for item in built]
    if not names or len(set(names)) < len(names):
        raise FieldError("diagnostics", names, "at least one diagnostic and each only once, or None for all")
    return tuple(built)


def choose(noun: str, wanted: Iterable[Any]) -> tuple[Any, ...]:
    """Probes or reporters, where those given by name are loaded and built."""
    field = f"{noun}s"
    return tuple(load(noun, item)() if isinstance(item, str) else item for item in _listed(field, wanted))


def reporters(wanted: Iterable[str | Reporter]) -> tuple[Reporter, ...]:
    """Reporters ready to use."""
    chosen = choose("reporter", wanted)
    for item in chosen:
        if not isinstance(item, Reporter):
            raise FieldError("reporters", item, "objects with on_snapshot, on_incident and on_close")
    return chosen


def _listed(field: str, wanted: Any) -> Iterable[Any]:
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        raise FieldError(field, wanted, f"a list, such as [{wanted!r}]")
    return wanted


def _checked(name: str, cls: Any) -> type[Diagnostic]:
    if not (isinstance(cls, type) and issubclass(cls, Diagnostic)):
        raise BrokenPlugin(f"The diagnostic {name!r} is {cls!r}, not a subclass of torchvitals.Diagnostic.")
    missing = [field for field in ("code", "name", "needs") if not hasattr(cls, field)]
    if missing:
        raise BrokenPlugin(
            f"The diagnostic {name!r} ({cls.__qualname__}) does not say its {', '.join(missing)}."
        )
    return cls


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name if point.dist else 'an unknown package'} ({point.value})"
