"""What a situation is: a training set-up, and what is true of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sweeps.situations.training import Training


class Level(StrEnum):
    """How badly a fault is made."""

    BLATANT = "blatant"
    MODERATE = "moderate"
    SUBTLE = "subtle"


Split = Literal["test", "tune"]

Build = Callable[[Level | None, int], Training]
"""Makes the training for a level and a seed; without a level its clean twin: the same without the fault."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is wrong with a faulty training."""

    codes: frozenset[str]
    """codes of diagnostics any of which names the root cause"""
    where: tuple[str, ...] = ()
    """patterns (as of the shell) of the modules or parameters that are to blame; empty where none is"""
    onset: tuple[int, int] = (0, 0)
    """first and last step at which the fault can be said to begin"""
    causes: tuple[str, ...] = ()
    """words any of which the cause or message has to hold; empty where the code says it all"""
    remedies: tuple[str, ...] = ()
    """what mends it, each as a sentence or as an override of the sweeps"""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A small training with known truth."""

    name: str
    source: str
    """where the situation was seen: the row of a published list, a question, or "own" """
    summary: str
    family: str
    """the file it stands in, such as "wiring" """
    build: Build
    truth: Truth | None = None
    """None for a healthy control, of which nothing above INFO may be said"""
    levels: tuple[Level, ...] = ()
    """severities at which a fault is made; none for a control"""
    certain: str = ""
    """why the harm is a matter of logic and needs no statistics; empty where it was measured"""
    blind: bool = False
    """whether it was written without a look at the rules, and no rule was changed after a look at it"""

    @property
    def split(self) -> Split:
        """`test` are the blind ones. Rules may be made and thresholds set on `tune` alone."""
        return "test" if self.blind else "tune"

    @property
    def healthy(self) -> bool:
        return self.truth is None


class Register:
    """Collects situations by name, as their modules are imported."""

    def __init__(self) -> None:
        self._found: dict[str, Situation] = {}

    @property
    def situations(self) -> Mapping[str, Situation]:
        return self._found

    def fault(
        self,
        name: str,
        *,
        source: str,
        codes: set[str],
        where: tuple[str, ...] = (),
        onset: tuple[int, int] = (0, 0),
        causes: tuple[str, ...] = (),
        remedies: tuple[str, ...] = (),
        levels: tuple[Level, ...] = (Level.BLATANT,),
        certain: str = "",
    ) -> Callable[[Build], Build]:
        """Register the decorated function, whose docstring is the summary, as a fault."""
        truth = Truth(codes=frozenset(codes), where=where, onset=onset, causes=causes, remedies=remedies)

        def register(build: Build) -> Build:
            self._add(name, source, build, truth=truth, levels=levels, certain=certain)
            return build

        return register

    def control(
        self, name: str, *, source: str
    ) -> Callable[[Callable[[int], Training]], Callable[[int], Training]]:
        """Register the decorated function of a seed, whose docstring is the summary, as a healthy control."""

        def register(build: Callable[[int], Training]) -> Callable[[int], Training]:
            self._add(name, source, lambda _level, seed: build(seed), described=build)
            return build

        return register

    def _add(
        self,
        name: str,
        source: str,
        build: Build,
        *,
        described: Callable[..., Training] | None = None,
        truth: Truth | None = None,
        levels: tuple[Level, ...] = (),
        certain: str = "",
    ) -> None:
        if name in self._found:
            raise ValueError(f"Two situations are called {name!r}.")
        described = described or build
        summary = " ".join((described.__doc__ or "").split())
        if not summary:
            raise ValueError(f"The situation {name!r} has no docstring that says what it is.")
        package, _, family = described.__module__.rpartition(".")
        self._found[name] = Situation(
            name=name,
            source=source,
            summary=summary,
            family=family,
            blind=package.endswith(".blind"),
            build=build,
            truth=truth,
            levels=levels,
            certain=certain,
        )


register = Register()
