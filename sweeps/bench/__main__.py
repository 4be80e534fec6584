"""`python -m sweeps.bench`: measure what watching costs, and write `bench.json` and `docs/performance.md`."""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweeps.bench import contest, growth, imports, judging, memory, overhead, traffic
from sweeps.bench.machine import machine
from sweeps.bench.pages import page

FOLDER = Path("runs/bench")
"""Where a look that must not overwrite what is published writes to."""
EVERY = 10.0
"""Seconds between lines of progress where they are not written over."""
SECTIONS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "overhead": overhead.measured,
    "peers": contest.measured,
    "memory": memory.measured,
    "growth": growth.measured,
    "judging": judging.measured,
    "bytes": traffic.measured,
    "imports": imports.measured,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure all sections or those that were named, and write after each what is known by then."""
    asked = _parser().parse_args(arguments)
    folder = _folder(quick=asked.quick, device=asked.device)
    card = _before(folder) if asked.sections else {}
    card = {"quick": asked.quick, "machine": machine(asked.device), "sections": card.get("sections", {})}
    for name in asked.sections or SECTIONS:
        begun = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of peers, about themselves
            say = Progress(name)
            found = SECTIONS[name](quick=asked.quick, device=asked.device, say=say)
        seconds = time.monotonic() - begun
        told = {"date": card["machine"]["date"], "seconds": round(seconds, 1)}
        card["sections"][name] = {**found, **told}
        _write(card, folder)
        say.end(f"done in {seconds:.0f} s")
    print(f"Written to {folder / 'bench.json'} and {folder / 'docs' / 'performance.md'}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sweeps.bench", description=__doc__)
    # Not by `choices`: argparse would check the empty list against them.
    parser.add_argument(
        "sections", nargs="*", type=_section, help=f"of {', '.join(SECTIONS)}; all if none is named"
    )
    parser.add_argument("--quick", action="store_true", help="a few steps of one net, into runs/bench/quick")
    parser.add_argument("--device", default="cpu", help="such as cuda, which goes into runs/bench/cuda")
    return parser


def _section(name: str) -> str:
    if name not in SECTIONS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SECTIONS)}")
    return name


def _folder(*, quick: bool, device: str) -> Path:
    # A quick look must not overwrite what is published, nor another device's figures.
    if quick:
        return FOLDER / "quick"
    return Path() if device == "cpu" else FOLDER / device.replace(":", "")


def _before(folder: Path) -> dict[str, Any]:
    kept = folder / "bench.json"
    return json.loads(kept.read_text()) if kept.exists() else {}


def _write(card: dict[str, Any], folder: Path) -> None:
    """In the order of the page, whatever was measured last."""
    card["sections"] = {name: card["sections"][name] for name in SECTIONS if name in card["sections"]}
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(card, indent=1) + "\n")
    (folder / "docs" / "performance.md").write_text(page(card))


class Progress:
    """One line on stderr that says what is going on; on a terminal it is written over."""

    def __init__(self, section: str) -> None:
        self._section = section
        self._told = 0.0

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() or now - self._told > EVERY:
            self._told = now
            self._write(what, end="" if sys.stderr.isatty() else "\n")

    def end(self, what: str) -> None:
        self._write(what, end="\n")

    def _write(self, what: str, *, end: str) -> None:
        again = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(f"{again}{self._section}: {what}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
