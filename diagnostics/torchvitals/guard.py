"""Keeps the mistakes of torchvitals and of plugins away from the training."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from torchvitals.core.engine import PartFailed
from torchvitals.core.finding import Finding, Severity


class Guard:
    """Switches off what raises and remembers it as TV001; lets it through if `strict`."""

    def __init__(self, *, strict: bool) -> None:
        self.step = 0
        """the step that is going on"""
        self.failures: dict[str, Finding] = {}
        """one for each part that is off"""
        self._strict = strict

    @property
    def off(self) -> tuple[str, ...]:
        """names of the parts that are off"""
        return tuple(self.failures)

    @contextmanager
    def over(self, part: Any, parts: list[Any] | None = None) -> Iterator[None]:
        """Run the body; when it raises, take `part` out of `parts`: a monitor must never cost a training."""
        try:
            yield
        except Exception as error:
            self.failed(error, part, parts)

    def failed(self, error: Exception, part: Any, parts: list[Any] | None = None) -> None:
        """What `over` does with an error, for where entering a context at every step would cost too much."""
        if self._strict:
            raise error
        if parts is not None and part in parts:
            parts.remove(part)
            _close(part)
        failure = self._failure(part, error)
        self.failures.setdefault(failure.where[0], failure)

    def _failure(self, part: Any, error: Exception) -> Finding:
        what = part if isinstance(part, str) else getattr(part, "name", type(part).__name__)
        first_line = str(error).partition("\n")[0].rstrip(".")
        return Finding(
            code=PartFailed.code,
            name=PartFailed.name,
            severity=Severity.INFO,
            where=(str(what),),
            since=self.step,
            message=f"{what} raised {type(error).__name__}: {first_line}. "
            f"It is switched off from step {self.step} on.",
            cause="a mistake in torchvitals or in a plugin, not in the training",
        )


def _close(part: Any) -> None:
    """Nobody will call the part again, and a probe may have hooks on the model."""
    if hasattr(part, "close"):
        with suppress(Exception):
            part.close()
