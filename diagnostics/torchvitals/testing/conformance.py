"""The house rules as code; without it plugins and built-ins would drift apart."""

from collections.abc import Iterable

from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window
from torchvitals.testing.behaviour import behaves, is_silent
from torchvitals.testing.form import FORM
from torchvitals.testing.thresholds import THRESHOLDS
from torchvitals.testing.windows import hostile_windows, quiet_windows


class BrokenRule(AssertionError):
    """A diagnostic does not keep a rule of the house."""


def check_diagnostic(cls: type[Diagnostic], *, windows: Iterable[Window] = ()) -> None:
    """Raise `BrokenRule`, naming the class and the rule, unless `cls` is a well-behaved diagnostic.

    `windows` are judged besides our own; give at least one on which your diagnostic finds something.
    """
    for rule in (*FORM, *THRESHOLDS):
        _complain(cls, rule(cls))
    for words, window in quiet_windows():
        _complain(cls, is_silent(cls, words, window))
    yours = ((f"your window {i}", window) for i, window in enumerate(windows))
    for words, window in (*quiet_windows(), *hostile_windows(cls.needs), *yours):
        _complain(cls, behaves(cls, words, window))


def _complain(cls: type, complaints: Iterable[str]) -> None:
    name = getattr(cls, "__qualname__", repr(cls))
    for complaint in complaints:
        raise BrokenRule(f"{name}: {complaint}")
