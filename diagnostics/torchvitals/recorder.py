"""The armed tier: writes what is known of a step to a file when something goes wrong in it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from torchvitals.builtin.parts.origins import overflowed_unused
from torchvitals.captures.capture import FORMAT, Capture, array_of, versions, write
from torchvitals.captures.kept import Iteration, Kept, Landing, Step, sampled
from torchvitals.captures.randomness import arrays
from torchvitals.captures.trees import given_in
from torchvitals.core.errors import FieldError
from torchvitals.core.finding import Incident, Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.judge import Judge
from torchvitals.probes.keeper import KeeperProbe
from torchvitals.probes.team import several_ranks

HISTORY = 32
"""Latest snapshots that go into a capture, as long as they fill no more than a quarter of it."""
MAX_MODULES = 4096


@dataclass(frozen=True)
class Recorder:
    """Writes a capture of a step in which an incident of WARNING or above opens, or the first NaN or Inf
    turns up.

    A capture is one file without pickle: what the model was given and the gradients that came back to its
    outputs, the states of the random generators, the latest snapshots and incidents; and on the CPU the
    weights from before the update, where it was a gradient that is not finite. `torchvitals replay FILE`
    shows it and, given the model, runs the step again and names the operation that gave the first NaN.

    Between captures it refers to the inputs of the last `steps` steps, which live as much longer, and takes
    the states of the random generators: about 0.1 ms a step of a small network on one busy CPU core.
    """

    folder: str | Path
    """made when the first capture is written; with several ranks each writes its own files there"""
    steps: int = 4
    """latest steps whose inputs are kept; on a GPU trouble is known some steps late; in [1, 64]"""
    max_mb: float = 64.0
    """largest size of a file, and of what is kept alive of one step; in [1, 65536]"""
    max_captures: int = 4
    """files of one training; where there is more than one, the last is for a NaN or Inf; in [1, 1024]"""

    def __post_init__(self) -> None:
        if not isinstance(self.folder, (str, os.PathLike)) or os.path.isfile(self.folder):
            raise FieldError("Recorder.folder", self.folder, "the path of a folder")
        for name, low, high, kind in (("steps", 1, 64, int), ("max_captures", 1, 1024, int)):
            value = getattr(self, name)
            if not isinstance(value, kind) or not low <= value <= high:
                raise FieldError(f"Recorder.{name}", value, f"a whole number in [{low}, {high}]")
        if not isinstance(self.max_mb, (int, float)) or not 1 <= self.max_mb <= 65536:
            raise FieldError("Recorder.max_mb", self.max_mb, "a number in [1, 65536]")

    def probe(self) -> "RecorderProbe":
        """What keeps and writes in one training."""
        return RecorderProbe(self)


def recorder_of(given: Any) -> Recorder | None:
    """The user's choice: a recorder, a folder for one with defaults, or None."""
    if given is None or isinstance(given, Recorder):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Recorder(os.fspath(given))
    raise FieldError("recorder", given, "a torchvitals.Recorder, a folder, or None")


@dataclass(frozen=True)
class _Pending:
    """A capture whose tensors may still be on their way from the device."""

    header: dict[str, Any]
    arrays: dict[str, Any]
    landing: Landing
    samples: Landing


class RecorderProbe(KeeperProbe):
    """Keeps the latest steps and writes captures of some."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(steps=recorder.steps, room=int(recorder.max_mb * 2**20 * 3 / 4))
        self._recorder = recorder
        self._pending: list[_Pending] = []
        self._seen: set[str] = set()
        self._finite = True
        self._taken = 0
        self.written: tuple[str, ...] = ()
        """paths of the captures of this training"""

    def judged(self, news: Sequence[Incident], judge: Judge) -> None:
        """The latest snapshot has been judged, with those incidents as news: is it worth a capture?"""
        snapshot = judge.window.latest
        if not news and not snapshot.nonfinite:
            self._finite = True
            return
        triggers = self._triggers(snapshot, news)
        if triggers and self._may_take(nonfinite="nonfinite" in triggers):
            self._taken += 1
            self._pending.append(self._take(snapshot, list(triggers.values()), judge))
            self._write_what_landed(wait=False)

    def collect(self) -> Iterable[Any]:
        if self._pending:
            self._write_what_landed(wait=False)
        return super().collect()

    def state(self) -> dict[str, Any]:
        """What a resumed training has to know to stay within `max_captures`."""
        told = {"written": list(self.written), "seen": sorted(self._seen)}
        return {**told, "taken": self._taken, "finite": self._finite}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.written = tuple(state.get("written", ()))
        self._seen = set(state.get("seen", ()))
        self._taken, self._finite = state.get("taken", 0), state.get("finite", True)

    def close(self) -> None:
        try:
            self._write_what_landed(wait=True)
        finally:
            super().close()

    def _triggers(self, snapshot: Snapshot, news: Sequence[Incident]) -> dict[str, str]:
        """What is new, in words, by code; "nonfinite" for the first NaN or Inf."""
        found: dict[str, str] = {}
        # What a scaler skips is by design; where it goes wrong there is an incident.
        bad = snapshot.nonfinite and not (
            snapshot.labels.get("skipped") == "scaler" or overflowed_unused(snapshot)
        )
        if bad and self._finite:
            found["nonfinite"] = "the first NaN or Inf"
        self._finite = not bad
        for incident in news:
            new = incident.code not in self._seen and incident.resolved is None
            if new and incident.severity > Severity.INFO:
                self._seen.add(incident.code)
                found[incident.code] = f"{incident.severity.name} {incident.code} {incident.name}"
        return found

    def _may_take(self, *, nonfinite: bool) -> bool:
        most = self._recorder.max_captures
        return self._taken < most if nonfinite else self._taken < max(1, most - 1)

    # -- what goes into a capture

    def _take(self, snapshot: Snapshot, triggers: list[str], judge: Judge) -> _Pending:
        step = next((s for s in self.kept if s.step == snapshot.step), None)
        notes = [] if step is not None else [f"Step {snapshot.step} was no longer kept when this was known."]
        step = step or Step(snapshot.step, weights_why="the step was no longer kept")
        usable, about = _tensors(step)
        header = {
            "format": FORMAT,
            **versions(),
            "step": snapshot.step,
            "rank": _rank(),
            "model": type(self.subject.model).__name__,
            "triggers": triggers,
            "notes": notes,
            "scalars": dict(snapshot.scalars),
            "labels": dict(snapshot.labels),
            "iterations": [_iteration(i, n) for n, i in enumerate(step.iterations)],
            "dropped": step.dropped,
            "tensors": about,
            **self._weights(step),
            **self._modules(step),
            "summary": judge.summary(steps=self.subject.step).to_dict(),
            "snapshots": _history(judge, room=self._recorder.max_mb * 2**20 / 4),
        }
        doubtful = self._taker.doubtful()
        notes += [f"The state of {name}'s random generator is not known." for name in doubtful]
        random = _random(step, without=doubtful)
        samples = {key: kept.sample for key, kept in usable.items() if kept.sample is not None}
        tensors = {**{key: kept.x for key, kept in usable.items()}, **_named(step.weights)}
        return _Pending(header, random, Landing(tensors), Landing(samples))

    def _weights(self, step: Step) -> dict[str, Any]:
        cuda = next(self.subject.model.parameters()).device.type != "cpu"
        why = step.weights_why or (
            "on this device a bad gradient is known only after the update"
            if cuda
            else "no gradient was NaN or Inf before the update, which has changed them since"
        )
        names = list(step.weights or ())
        return {"weights": names or None, "weights_why": "" if names else why}

    def _modules(self, step: Step) -> dict[str, Any]:
        named = list(self.subject.model.named_modules())[:MAX_MODULES]
        trained = self.subject.model.training
        return {
            "modules": [[path, type(module).__name__] for path, module in named],
            "otherwise": [path for path, module in named if module.training != trained],
        }

    def _write_what_landed(self, *, wait: bool) -> None:
        while self._pending and (wait or _ready(self._pending[0])):
            self._write(self._pending.pop(0))

    def _write(self, pending: _Pending) -> None:
        landed, samples = pending.landing.landed(), pending.samples.landed()
        for key, about in pending.header["tensors"].items():
            if key in samples and not _same(sampled(landed[key]), samples[key]):
                del landed[key]
                about["missing"] = OVERWRITTEN
        stored = {key: array_of(x) for key, x in landed.items()}
        header = pending.header
        header["notes"] += [f"{name}: {why}" for name, why in _lost(header)]
        rank = f"-rank{header['rank']}" if several_ranks() else ""
        capture = Capture(header=header, arrays={**stored, **pending.arrays})
        path = write(capture, Path(self._recorder.folder), f"step-{header['step']}{rank}")
        self.written = (*self.written, str(path))


OVERWRITTEN = "it was overwritten in place before it could be stored"


def _tensors(step: Step) -> tuple[dict[str, Kept], dict[str, dict[str, Any]]]:
    """Those that are as they were, and what is known of all, weights included."""
    usable, about = {}, {}
    for key, kept in step.tensors.items():
        about[key] = {**_about(kept.x), "requires_grad": kept.requires_grad}
        if kept.rewritten:
            about[key]["missing"] = OVERWRITTEN
        else:
            usable[key] = kept
    return usable, about | {key: _about(x) for key, x in _named(step.weights).items()}


def _about(x: Any) -> dict[str, Any]:
    return {"dtype": str(x.dtype).removeprefix("torch."), "shape": list(x.shape), "device": str(x.device)}


def _named(weights: dict[str, Any] | None) -> dict[str, Any]:
    return {f"weight/{name}": x for name, x in (weights or {}).items()}


def _iteration(iteration: Iteration, n: int) -> dict[str, Any]:
    return {
        "index": iteration.index,
        "batch": iteration.batch,
        "random": f"random/{n}" if iteration.random else None,
        "training": iteration.training,
        "autocast": iteration.autocast,
        "calls": [
            {
                "given": call.given,
                "random": f"random/{n}/{k}",
                "gradients": [[i, keys] for i, keys in call.gradients.items()],
                "losses": call.losses,
            }
            for k, call in enumerate(iteration.calls)
        ],
    }


def _random(step: Step, *, without: Sequence[str]) -> dict[str, Any]:
    found = {}
    for n, iteration in enumerate(step.iterations):
        states = {f"random/{n}": iteration.random} if iteration.random else {}
        states |= {f"random/{n}/{k}": call.random for k, call in enumerate(iteration.calls)}
        for prefix, taken in states.items():
            known = {name: state for name, state in taken.items() if name not in without}
            found |= {f"{prefix}/{name}": array for name, array in arrays(known).items()}
    return found


def _history(judge: Judge, *, room: float) -> list[dict[str, Any]]:
    """The latest snapshots, oldest first, as far as they fit; a number takes some 20 bytes of text."""
    kept: list[dict[str, Any]] = []
    for snapshot in reversed(judge.window.snapshots[-HISTORY:]):
        tables = snapshot.tables.values()
        room -= 200 + 20 * sum(len(table) * (3 + len(table.columns)) for table in tables)
        if room < 0 and kept:
            break
        kept.append(snapshot.to_dict())
    return kept[::-1]


def _lost(header: dict[str, Any]) -> list[tuple[str, str]]:
    """What is missing of what the model was given, by readable name."""
    found = []
    for name, kind, held in given_in(header["iterations"]):
        why = held if kind == "lost" else header["tensors"][held].get("missing")
        found += [(name, why)] if why else []
    return found


def _ready(pending: _Pending) -> bool:
    return pending.landing.ready() and pending.samples.ready()


def _same(now: Any, then: Any) -> bool:
    """Bit for bit, NaN included."""
    return now is not None and array_of(now).tobytes() == array_of(then).tobytes()


def _rank() -> int:
    return dist.get_rank() if several_ranks() else 0
