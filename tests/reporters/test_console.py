"""Without this file the terminal could flood, or a module's name could be taken for markup."""

import io

import pytest

from tests.support.runs import glance, healthy, ill, look, loss_spike, not_learning, vanishing
from torchvitals.core.finding import Incident, Severity
from torchvitals.core.protocols import Reporter
from torchvitals.core.summary import Coverage, Summary
from torchvitals.reporters.console import ConsoleReporter
from torchvitals.reporters.text import render


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def spoken(*incidents, summary=None, stream=None) -> str:
    stream = stream or io.StringIO()
    reporter = ConsoleReporter(stream)
    for incident in incidents:
        reporter.on_incident(incident)
    if summary is not None:
        reporter.on_close(summary)
    return stream.getvalue()


def test_it_is_a_reporter() -> None:
    assert isinstance(ConsoleReporter(), Reporter)


def test_root_is_a_compact_block_and_symptom_one_line() -> None:
    assert spoken(vanishing(now=""), not_learning(), loss_spike()) == (
        "torchvitals: CRITICAL TV201 vanishing-gradient at blocks.0.act (+8 more),\n"
        "          since step 0\n"
        "  what    The gradient shrinks by 7.4 decades from the last site, head, to the\n"
        "          first, blocks.0.\n"
        "  why     sigmoid passes on at most a quarter of the gradient, layer after layer\n"
        "  do      Use ReLU with He initialisation.\n"
        "            activation=relu init=he_normal\n"
        "torchvitals: WARNING TV403 not-learning at loss, since step 100,\n"
        "          follows from TV201\n"
    )


def test_worse_and_resolved_are_said() -> None:
    lines = spoken(vanishing(severity=Severity.WARNING), vanishing(), vanishing(resolved=250)).splitlines()
    heads = [line.split(" at blocks")[0] for line in lines if line.startswith("torchvitals")]
    assert heads == [
        "torchvitals: WARNING TV201 vanishing-gradient",
        "torchvitals: worse CRITICAL TV201 vanishing-gradient",
        "torchvitals: resolved at step 250: TV201 vanishing-gradient, since step 0",
    ]


def test_no_line_is_wider_than_80_columns() -> None:
    long = {"name": "a-rather-long-name-of-a-stranger", "where": ("encoder.layers.11.attention", "b")}
    text = spoken(
        vanishing(severity=Severity.WARNING, **long),
        vanishing(**long),
        vanishing(resolved=123456, **long),
        not_learning(**long),
        part_failed(message="word " * 40),
        summary=ill(),
    )
    assert max(map(len, text.splitlines())) <= 80


def part_failed(**changes) -> Incident:
    given = {"code": "TV001", "name": "part-failed", "where": ("beacon",), "resolved": None}
    return loss_spike(**{**given, **changes})


def test_a_part_that_failed_is_one_line_although_it_is_no_illness() -> None:
    failed = part_failed(message="beacon raised KeyError: 'x'. It is switched off from step 3 on.")
    assert spoken(failed, loss_spike()) == f"torchvitals: {failed.message}\n"


def test_module_named_by_a_number_is_called_a_module() -> None:
    assert "vanishing-gradient at module '2' (+1 more)," in spoken(vanishing(where=("2", "0.1")))


def test_flicker_does_not_flood() -> None:
    flicker = [vanishing(), vanishing(resolved=9)] * 500
    text = spoken(*flicker)
    assert text.count("torchvitals:") == 4
    assert text.endswith("torchvitals: more of TV201 will be in the report\n")


def test_healthy_run_is_one_line() -> None:
    stream = io.StringIO()
    reporter = ConsoleReporter(stream)
    for step in range(20):
        reporter.on_snapshot(look(step) if step < 10 else glance(step))
    reporter.on_incident(loss_spike())
    reporter.on_close(healthy())
    assert stream.getvalue() == ("torchvitals: healthy (looked at 24 of 240 steps; cost 1.3%)\n")


@pytest.mark.parametrize(
    ("coverage", "line"),
    [
        pytest.param(
            Coverage(steps=1, looks=1, blind=("x",)),
            "torchvitals: healthy (looked at 1 of 1 step, 1 blind spot; cost not known)",
            id="one",
        ),
        pytest.param(
            Coverage(steps=9, looks=3, judged=("dead-units",)),
            "torchvitals: healthy (looked at 3 of 9 steps; cost not known)",
            id="would-be-too-wide",
        ),
        pytest.param(
            Coverage(steps=9, looks=3, judged=("a",)),
            "torchvitals: healthy, a was not found (looked at 3 of 9 steps; cost not known)",
            id="fits",
        ),
    ],
)
def test_closing_line_says_what_healthy_means_where_that_fits(coverage: Coverage, line: str) -> None:
    assert spoken(summary=Summary(verdict="healthy", coverage=coverage)) == f"{line}\n"


def test_close_of_an_ill_run_is_the_report() -> None:
    assert spoken(summary=ill()) == f"\n{render(ill())}\n\n"


def test_no_data_is_never_one_line() -> None:
    summary = Summary(verdict="no data", coverage=Coverage(steps=4, blind=("The model was never called.",)))
    assert "not seen  The model was never called." in spoken(summary=summary)


@pytest.mark.parametrize("name", ["[red]layer[/]", "[/]", "[link=http://x]", ":boom:", "[bold", "a[0]"])
@pytest.mark.parametrize(
    "stream", [pytest.param(io.StringIO, id="pipe"), pytest.param(Terminal, id="terminal")]
)
def test_names_are_never_markup(name: str, stream: type[io.StringIO]) -> None:
    assert name in spoken(vanishing(where=(name,), message=f"at {name}"), stream=stream())


def test_terminal_gets_colours_and_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    from rich.text import Text

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = spoken(vanishing(), stream=Terminal())
    assert "\x1b[1;31mCRITICAL\x1b[0m" in coloured
    assert Text.from_ansi(coloured).plain.strip() == spoken(vanishing()).strip()


def test_stream_that_knows_only_ascii_gets_question_marks() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    ConsoleReporter(stream).on_incident(vanishing(cause="tanh′(0) = 1"))
    assert b"tanh?(0) = 1" in raw.getvalue()


def test_standard_error_is_looked_up_when_it_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleReporter().on_close(healthy())
    assert capsys.readouterr().err.startswith("torchvitals: healthy")
