"""`python -m sweeps.situations list`, `run NAME` and `validate`."""

import argparse
import sys
from contextlib import nullcontext
from difflib import get_close_matches

import torch
from rich.console import Console
from rich.table import Table

from sweeps.situations.catalogue import situations
from sweeps.situations.eyes import vitals
from sweeps.situations.situation import Level, Situation
from sweeps.situations.training import Trained, run
from sweeps.situations.validation import unproven, validate


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 for a name that does not exist."""
    asked = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    if asked.command == "list":
        Console().print(_listed(list(situations().values())))
        return 0
    if asked.command == "validate":
        every = unproven() if asked.missing else list(situations())
        return validate(asked.names or every, seeds=asked.seeds, jobs=asked.jobs)
    situation = situations().get(asked.name)
    if situation is None:
        return _unknown(asked.name)
    _show(situation, asked.level, asked.seed)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sweeps.situations", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all situations with their truth")
    once = commands.add_parser("run", help="train one, watched, and compare what is said with the truth")
    once.add_argument("name")
    once.add_argument(
        "--level", type=Level, choices=list(Level), help="severity of a fault; its worst if left out"
    )
    once.add_argument("--seed", type=int, default=0)
    proof = commands.add_parser("validate", help="prove that faults harm, against their clean twins")
    proof.add_argument("names", nargs="*", help="situations; all of them if left out")
    proof.add_argument("--missing", action="store_true", help="all that have no proof on record")
    proof.add_argument("--seeds", type=int, default=8)
    proof.add_argument("--jobs", type=int, default=2)
    return parser


def _unknown(name: str) -> int:
    close = get_close_matches(name, situations(), n=3)
    hint = f" Did you mean {', '.join(close)}?" if close else ""
    print(
        f"No situation is called {name!r}.{hint} `python -m sweeps.situations list` shows all.",
        file=sys.stderr,
    )
    return 2


def _listed(found: list[Situation]) -> Table:
    table = Table(
        title=f"{sum(not s.healthy for s in found)} faults, {sum(s.healthy for s in found)} healthy controls"
    )
    for column in ("name", "split", "levels", "truth", "where", "what it is"):
        table.add_column(column, overflow="fold")
    for s in found:
        codes = " ".join(sorted(s.truth.codes)) if s.truth else "healthy"
        table.add_row(
            s.name, s.split, " ".join(s.levels), codes, " ".join(s.truth.where) if s.truth else "", s.summary
        )
    return table


def _show(situation: Situation, level: Level | None, seed: int) -> None:
    print(f"{situation.name} ({situation.source}, split {situation.split})\n{situation.summary}\n")
    level = level or (situation.levels[0] if situation.levels else None)
    training = situation.build(level, seed)
    with vitals(training) as watching:
        trained = run(training, [lambda _: nullcontext(watching)])
    print(watching.report())
    print(_told(situation, trained, level))
    if situation.truth is not None:
        twin = run(situation.build(None, seed))
        print(f"Clean twin: score {twin.score:.4g}, last loss {twin.losses[-1]:.4g}.")
        where = f" at {', '.join(situation.truth.where)}" if situation.truth.where else ""
        codes = " or ".join(sorted(situation.truth.codes))
        print(f"Truth: {codes}{where}, from step {situation.truth.onset[0]}.")
    else:
        print("Truth: healthy, nothing above INFO.")


def _told(situation: Situation, trained: Trained, level: Level | None) -> str:
    how = f"at level {level}" if level else "as it is"
    ended = f", ended by {trained.error}" if trained.error else ""
    return f"{situation.name} {how}: score {trained.score:.4g}, last loss {trained.losses[-1]:.4g}{ended}."


if __name__ == "__main__":
    raise SystemExit(main())
