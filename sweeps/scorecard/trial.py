"""One training before all judges, each marked against the truth."""

import fnmatch
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch

from sweeps.scorecard.betrayal import betrayal
from sweeps.scorecard.figures import Row
from sweeps.scorecard.ours import NAME, OURS, Ours
from sweeps.scorecard.outcome import Alert, Judge, Outcome, Watching
from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Level, Situation, Truth
from sweeps.situations.training import Eyes, Training, run


@dataclass(frozen=True)
class Case:
    """A training to be judged: a fault at a level, its clean twin (no level), or a healthy control."""

    name: str
    level: Level | None
    seed: int

    @property
    def situation(self) -> Situation:
        return situations()[self.name]

    @property
    def sort(self) -> str:
        if self.situation.healthy:
            return "control"
        return "twin" if self.level is None else "fault"


def try_case(case: Case, peers: Sequence[Judge]) -> list[Row]:
    """Train the case once for all judges that can share a training, and once for each that cannot.

    One row for each judge, and one for ours without each diagnostic that found anything.
    """
    torch.set_num_threads(1)
    if "torch._dynamo" in sys.modules:  # a case that compiled something leaves nothing to the next
        torch._dynamo.reset()
    shared = [judge for judge in peers if not judge.alone]
    groups = [[OURS], shared, *([judge] for judge in peers if judge.alone)]
    trials = [_trial(case, group) for group in groups if group]
    rows = [row for trial in trials for row in _judged(case, trial)]
    losses = next((trial.losses for trial in trials if not trial.error), ())
    shown = _betrayed(case, losses) if case.sort == "fault" else None
    return [row | {"betrayed": shown} for row in rows]


@dataclass(frozen=True)
class _Trial:
    """One training before judges who share it."""

    judges: Sequence[Judge]
    eyes: Sequence[Watching] = ()
    losses: tuple[float, ...] = ()
    error: str = ""
    """what a judge raised that broke the training: then nobody has said anything"""


def _trial(case: Case, judges: Sequence[Judge]) -> _Trial:
    eyes: list[Watching] = []
    try:
        training = case.situation.build(case.level, case.seed)
        trained = run(training, [_opening(judge, eyes) for judge in judges])
    except Exception as raised:
        return _Trial(judges, error=f"{type(raised).__name__}: {raised}")
    return _Trial(judges, eyes, trained.losses)


def _judged(case: Case, trial: _Trial) -> Iterator[Row]:
    if trial.error:
        yield from (_row(case, judge.name, Outcome(error=trial.error)) for judge in trial.judges)
        return
    for judge, watching in zip(trial.judges, trial.eyes, strict=True):
        outcome = watching.outcome()
        yield _row(case, judge.name, outcome)
        if isinstance(watching, Ours) and outcome.alerts:
            for code, less in watching.ablated():
                yield _row(case, f"{NAME} without {code}", less)


def _opening(judge: Judge, eyes: list[Watching]) -> Callable[[Training], AbstractContextManager[Eyes]]:
    @contextmanager
    def opened(training: Training) -> Iterator[Eyes]:
        with judge.open(training) as watching:
            eyes.append(watching)
            yield watching

    return opened


def _betrayed(case: Case, losses: Sequence[float]) -> int | None:
    """Step at which the loss alone betrays the fault to somebody who knows that of its clean twin."""
    truth = case.situation.truth
    clean = run(case.situation.build(None, case.seed)).losses
    return betrayal(losses, clean, since=truth.onset[0] if truth else 0)


def _row(case: Case, judge: str, outcome: Outcome) -> Row:
    situation = case.situation
    truth = situation.truth if case.sort == "fault" else None
    return {
        "judge": judge,
        "name": case.name,
        "level": str(case.level or ""),
        "seed": case.seed,
        "sort": case.sort,
        "split": situation.split,
        "family": situation.family,
        "truth": sorted(truth.codes) if truth else [],
        "alarm": bool(outcome.alerts),
        "alerts": len(outcome.alerts),
        "right_alerts": sum(_names(alert, truth) for alert in outcome.alerts),
        "cause": outcome.root is not None and _names(outcome.root, truth),
        "module": _places(outcome.root, truth) if truth and truth.where else None,
        "latency": outcome.alerts[0].step - truth.onset[0] if truth and outcome.alerts else None,
        "said": [alert.rule for alert in outcome.alerts],
        "root": outcome.root.rule if outcome.root else "",
        "where": list(outcome.root.where[:3]) if outcome.root else [],
        "error": outcome.error,
    }


def _names(alert: Alert, truth: Truth | None) -> bool:
    """Whether an alert names the root cause: one of its codes, in words that fit. Healthy runs have none."""
    if truth is None or not truth.codes.intersection(alert.codes):
        return False
    return not truth.causes or any(word.lower() in alert.cause.lower() for word in truth.causes)


def _places(root: Alert | None, truth: Truth) -> bool:
    """Whether the first place that is named is to blame: the module itself, one inside of it, or a parameter
    of it.
    """
    if root is None or not root.where:
        return False
    parts = root.where[0].partition("#")[0].split(".")
    above = [root.where[0], *(".".join(parts[: i + 1]) for i in range(len(parts)))]
    return any(fnmatch.fnmatchcase(path, pattern) for path in above for pattern in truth.where)
