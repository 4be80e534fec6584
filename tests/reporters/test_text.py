"""Without this file the report could lose a line that somebody needs at night: exact expectations."""

import pytest

from tests.support.runs import COST, COVERAGE, healthy, ill, loss_spike, not_learning, vanishing
from torchvitals.core.finding import Severity
from torchvitals.core.start import Start
from torchvitals.core.summary import Coverage, Summary
from torchvitals.reporters.text import render

ILL = """\
torchvitals: ill - TV201 vanishing-gradient at blocks.0.act (+8 more)
          since step 0

CRITICAL  TV201 vanishing-gradient
  where   blocks.0.act, blocks.1.act, blocks.2.act (+6 more)
  when    since step 0, last seen at step 240
  what    The gradient shrinks by 7.4 decades from the last site, head, to the
          first, blocks.0.
  now     The gradient shrinks by 6.9 decades.
  why     sigmoid passes on at most a quarter of the gradient, layer after layer
  numbers decades=7.412, sites=9, largest_drop=blocks.4.act
  do      Use ReLU with He initialisation.
            activation=relu init=he_normal
          Lower the depth.
  so      WARNING TV403 not-learning at loss, since step 100
          The loss is no better than guessing (2.304 against ln 10 = 2.303).

INFO      TV401 loss-spike, since step 80, resolved at step 90
          The loss rose to 4.1 and came back.

looked    at 24 of 240 steps: 11 sites, 20 gradients of parameters
not seen  blocks.3 was compiled before the watch began: its activations were not
          seen.
cost      1.3% of the run (0.41 s of 32.1 s)"""


def test_report_of_an_ill_run() -> None:
    assert render(ill()) == ILL


def test_report_of_a_healthy_run() -> None:
    assert render(healthy()) == (
        "torchvitals: healthy\n\nlooked    at 24 of 240 steps\ncost      1.3% of the run (0.41 s of 32.1 s)"
    )


@pytest.mark.parametrize(
    ("coverage", "why"),
    [
        pytest.param(Coverage(), "no optimizer step was seen", id="no-step"),
        pytest.param(Coverage(steps=3), "3 steps went by and none was looked at", id="no-look"),
        pytest.param(Coverage(steps=1), "1 step went by and none was looked at", id="one-step"),
        pytest.param(Coverage(steps=3, looks=1), "no diagnostic judged the run", id="no-judge"),
        pytest.param(Coverage(steps=3, looks=1, judged=("a",)), "no gradient was seen", id="no-gradient"),
    ],
)
def test_no_data_says_why(coverage: Coverage, why: str) -> None:
    assert render(Summary(verdict="no data", coverage=coverage)).startswith(f"torchvitals: no data - {why}\n")


def test_resolved_incident_says_so_and_has_no_present() -> None:
    report = render(Summary(verdict="suspect", incidents=(vanishing(resolved=250),)))
    assert "CRITICAL  TV201 vanishing-gradient (resolved)" in report
    assert "since step 0, last seen at step 240, resolved at step 250" in report
    assert "  now " not in report


def test_symptom_of_a_symptom_is_indented_further() -> None:
    symptom = loss_spike(severity=Severity.WARNING, explained_by="TV403")
    report = render(Summary(verdict="ill", incidents=(vanishing(), not_learning(), symptom)))
    assert "\n  so      WARNING TV403" in report
    assert "\n    so      WARNING TV401" in report


@pytest.mark.parametrize(
    "incidents",
    [
        pytest.param((not_learning(explained_by="TV999"),), id="cause-is-absent"),
        pytest.param((vanishing(explained_by="TV403"), not_learning()), id="circle"),
    ],
)
def test_every_incident_is_printed_once_whatever_explains_it(incidents) -> None:
    body = render(Summary(verdict="ill", incidents=incidents)).partition("\n")[2]
    assert [body.count(f"{i.code} {i.name}") for i in incidents] == [1] * len(incidents)


def test_no_line_is_wider_than_80_columns() -> None:
    long = vanishing(
        message="word " * 200, cause="word " * 100, evidence={f"number_{i}": 1.0 for i in range(30)}
    )
    note = loss_spike(name="a-very-long-name-of-a-diagnostic", where=(), onset=10**9, resolved=10**10)
    report = render(Summary(verdict="ill", incidents=(long, note), coverage=COVERAGE, cost=COST))
    assert max(map(len, report.splitlines())) <= 80


def test_escape_codes_in_names_do_not_reach_the_terminal() -> None:
    report = render(
        Summary(verdict="ill", incidents=(vanishing(where=("\x1b[2Jevil",), message="a\nb\x07"),))
    )
    assert "\x1b" not in report
    assert "\x07" not in report
    assert "\N{REPLACEMENT CHARACTER}[2Jevil" in report


def test_how_far_signal_and_gradient_carry_is_told_where_theory_can_speak_of_the_net() -> None:
    factors = {"signal": 0.44, "expected_signal": 0.41, "gradient": 0.4, "expected_gradient": 0.408}
    start = Start(factors=factors, trainable_depth=7.54)
    told = " ".join(render(Summary(verdict="healthy", start=start)).split())
    assert "start Per layer the signal changes by 0.44 (theory: 0.41)." in told
    assert "At that rate the gradient changes by three decades in 8 layers." in told
    assert "\nstart" not in render(Summary(verdict="healthy", start=Start()))
