"""The `torchvitals` command; without it one would have to open a Python session to read a recording."""

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from torchvitals.core.engine import ENGINE
from torchvitals.core.errors import TorchvitalsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 with one sentence on stderr when the impossible was asked for."""
    arguments = _parser().parse_args(argv)
    try:
        for line in arguments.command(arguments):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # `torchvitals list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (TorchvitalsError, OSError) as error:
        print(f"torchvitals: {error}", file=sys.stderr)
        return 2
    return 0


Command = Callable[[argparse.Namespace], Iterable[str]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torchvitals", description="Vital signs for neural-network training."
    )
    parser.add_argument("--version", action="version", version=f"torchvitals {version('torchvitals')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add(commands, "list", _list, "every installed diagnostic in one line")
    explain = _add(commands, "explain", _explain, "what a diagnostic measures, when it is wrong, what to try")
    explain.add_argument("diagnostic", help="a code or a name, such as TV201 or vanishing-gradient; or `all`")
    report = _add(commands, "report", _report, "the report of a recorded run")
    report.add_argument("recording", metavar="RUN.jsonl")
    replay = _add(commands, "replay", _replay, "judge a recorded run again, under other thresholds")
    replay.add_argument("recording", metavar="RUN.jsonl")
    replay.add_argument("--set", action="append", default=[], metavar="NAME.FIELD=VALUE", dest="changes")
    _add(commands, "doctor", _doctor, "versions, plugins, and what is missing")
    return parser


def _add(commands: Any, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"Print {text}.")
    parser.set_defaults(command=command)
    return parser


def _list(_: argparse.Namespace) -> Iterator[str]:
    from torchvitals import catalogue, registry
    from torchvitals.reporters.words import WIDTH

    found = {**ENGINE, **registry.diagnostics()}
    width = max(map(len, found), default=0)
    for name, cls in found.items():
        start = f"{cls.code}  {name:<{width}}  "
        yield start + textwrap.shorten(
            catalogue.first_line(cls), max(20, WIDTH - len(start)), placeholder=" ..."
        )


def _explain(arguments: argparse.Namespace) -> Iterator[str]:
    from torchvitals import catalogue, registry

    known = {**ENGINE, **registry.diagnostics()}
    if arguments.diagnostic == "all":
        return catalogue.page(known)
    return catalogue.explain(catalogue.find(arguments.diagnostic, known=known))


def _report(arguments: argparse.Namespace) -> Iterator[str]:
    from torchvitals.reporters.recording import read
    from torchvitals.reporters.text import render

    yield render(read(arguments.recording).so_far())


def _replay(arguments: argparse.Namespace) -> Iterator[str]:
    from torchvitals import catalogue, registry
    from torchvitals.replay import judge
    from torchvitals.reporters.recording import read
    from torchvitals.reporters.text import render

    chosen = catalogue.with_thresholds(arguments.changes, known=registry.diagnostics())
    recording = read(arguments.recording)
    then, now = recording.so_far(), judge(recording.snapshots, chosen)
    # What was not seen then is not seen now; who judges is another matter.
    coverage = replace(then.coverage, judged=now.coverage.judged)
    yield render(replace(now, coverage=coverage, cost=then.cost))


def _doctor(_: argparse.Namespace) -> Iterator[str]:
    from torchvitals.doctor import examine

    yield from examine()
