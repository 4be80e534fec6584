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
from torchvitals.core.errors import FieldError, TorchvitalsError


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
    replay = _add(commands, "replay", _replay, "a recorded run, judged again; or a captured step, run again")
    replay.add_argument(
        "recording", metavar="FILE", help="RUN.jsonl, or a capture that a recorder has written"
    )
    change = "for a run: another threshold of a diagnostic"
    replay.add_argument(
        "--set", action="append", default=[], metavar="NAME.FIELD=VALUE", dest="changes", help=change
    )
    function = "package.module:function"
    replay.add_argument("--model", metavar=function, help="for a capture: makes the model, without arguments")
    replay.add_argument(
        "--loss", metavar=function, help="for a capture: takes output and target, gives the loss"
    )
    replay.add_argument("--checkpoint", metavar="FILE", help="for a capture: weights from before its step")
    replay.add_argument("--device", help="for a capture: where to run; that of the training if it is here")
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
    from torchvitals.captures.capture import is_capture

    captured = is_capture(arguments.recording)
    foreign = ("changes",) if captured else ("model", "loss", "checkpoint", "device")
    for name in foreign:
        if value := getattr(arguments, name):
            one, other = ("run", "capture") if captured else ("capture", "run")
            option = "--set" if name == "changes" else f"--{name}"
            raise FieldError(option, value, f"it for a {one}; {arguments.recording} is a {other}")
    return _replay_capture(arguments) if captured else _replay_run(arguments)


def _replay_capture(arguments: argparse.Namespace) -> Iterator[str]:
    from torchvitals.captures.capture import read
    from torchvitals.reporters.capture import render_capture
    from torchvitals.rerun import rerun
    from torchvitals.rerun.named import find, model_of

    capture, found = read(arguments.recording), None
    if arguments.model is not None:
        loss = find(arguments.loss, "--loss") if arguments.loss is not None else None
        model = model_of(arguments.model)
        found = rerun(capture, model, loss=loss, checkpoint=arguments.checkpoint, device=arguments.device)
    yield render_capture(capture, arguments.recording, found)


def _replay_run(arguments: argparse.Namespace) -> Iterator[str]:
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
