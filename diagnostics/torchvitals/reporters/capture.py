"""A capture as plain text; without it `torchvitals replay` could not show what was recorded of a step."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torchvitals.captures.births import Range, Rerun
from torchvitals.captures.capture import Capture
from torchvitals.captures.trees import given_in
from torchvitals.core.snapshot import Snapshot
from torchvitals.reporters.birth import described, rendered
from torchvitals.reporters.text import incidents
from torchvitals.reporters.words import block, clean, count, line, size

MOST_TENSORS = 8
MOST_ROWS = 8
COLUMNS = {
    "loss": "loss",
    "gradient_norm": "gradient norm",
    "lr": "lr",
    "loss_scale": "loss scale",
    "val_loss": "val loss",
}
"""Scalars of the table of the latest snapshots, and their heads."""


def render_capture(capture: Capture, path: str, rerun: Rerun | None = None) -> str:
    """What happened, what the model was given, how it came to that, and what a re-run found."""
    header = capture.header
    what = f"torchvitals: step {capture.step} of {header['model']} - {', '.join(header['triggers'])}"
    parts = [line(what), *incidents(capture.summary.incidents), ""]
    parts += [*_step(capture), *_given(capture), *_kept(capture), *_past(capture), *_file(capture, path), ""]
    parts += rendered(rerun, capture) if rerun is not None else _next(capture, path)
    return "\n".join(parts)


def _step(capture: Capture) -> Iterator[str]:
    header = capture.header
    first = header["iterations"][0] if header["iterations"] else {}
    told = [f"loss {capture.loss:.6g}"] if capture.loss is not None else []
    told += [f"loss scale {capture.scale:.6g}"] if "loss_scale" in header["scalars"] else []
    if first.get("training") is not None:
        told.append("in training mode" if first["training"] else "in eval mode")
    if first.get("autocast"):
        told.append("autocast to {1} on {0}".format(*first["autocast"]))
    told += [f"rank {header['rank']}"] if header["rank"] else []
    told += [f"{name} {word}" for name, word in header["labels"].items() if word != "unknown"]
    yield from block("step", ", ".join(told), label_at=0)


def _given(capture: Capture) -> Iterator[str]:
    named = list(given_in(capture.header["iterations"]))
    for number, (name, kind, held) in enumerate(named[:MOST_TENSORS]):
        yield from block("" if number else "given", _tensor(capture, name, kind, held), label_at=0)
    if len(named) > MOST_TENSORS:
        yield from block("", f"and {len(named) - MOST_TENSORS} more")
    if not named:
        yield from block("given", "not known: the model itself was not seen to be called", label_at=0)
    if capture.header["dropped"]:
        yield from block("", f"{count(capture.header['dropped'], 'micro-batch', 'micro-batches')} left out")


def _tensor(capture: Capture, name: str, kind: str, held: str) -> str:
    if kind == "lost":
        return f"{name}: not stored, {held}"
    about = capture.header["tensors"][held]
    if held not in capture.arrays:
        return f"{name}: {about['dtype']} {tuple(about['shape'])}, not stored: {about.get('missing')}"
    return described(Range.of(capture.tensor(held), name))


def _kept(capture: Capture) -> Iterator[str]:
    header = capture.header
    names = header["weights"]
    if names:
        whole = sum(capture.arrays[f"weight/{name}"].nbytes for name in names)
        told = f"{count(len(names), 'tensor')} from before the update, {size(whole)}"
    else:
        told = f"not included: {header['weights_why']}"
    yield from block("weights", told, label_at=0)
    random = {key.split("/")[-1].split(".")[0] for key in capture.arrays if key.startswith("random/")}
    if random:
        yield from block("random", f"states of {', '.join(sorted(random))}", label_at=0)


def _past(capture: Capture) -> Iterator[str]:
    """The latest snapshots, one a row."""
    rows = capture.snapshots[-MOST_ROWS:]
    shown = [name for name in COLUMNS if any(name in s.scalars for s in rows)]
    heads = [f"{'step':>7}", *(f"{COLUMNS[name]:>14}" for name in shown)]
    yield ("past".ljust(10) + "".join(heads)).rstrip()
    for snapshot in rows:
        yield " " * 10 + _row(snapshot, shown)


def _row(snapshot: Snapshot, shown: list[str]) -> str:
    scalars = dict(snapshot.scalars)
    if "gradient" in snapshot and snapshot["gradient"]["nonfinite"].any():
        scalars["gradient_norm"] = float("nan")  # the recorded one is that of the finite entries
    numbers = [f"{scalars[n]:>14.5g}" if n in scalars else " " * 14 for n in shown]
    return f"{snapshot.step:>7}" + "".join(numbers).rstrip()


def _file(capture: Capture, path: str) -> Iterator[str]:
    header: Mapping[str, Any] = capture.header
    made = f"torchvitals {header['torchvitals']}, torch {header['torch']}, Python {header['python']}"
    yield from block("file", f"{clean(path)}, {size(Path(path).stat().st_size)}, made by {made}", label_at=0)
    for note in header["notes"]:
        yield from block("", note)


def _next(capture: Capture, path: str) -> Iterator[str]:
    yield from block(
        "do", "Run the step again and see which operation gave the first NaN or Inf:", label_at=0
    )
    more = "" if capture.header["weights"] else " --checkpoint FILE"
    yield from block("", f"torchvitals replay {path} --model package.module:function{more}", text_at=12)
    if more:
        yield from block("", f"FILE: the latest checkpoint from before step {capture.step}.")
