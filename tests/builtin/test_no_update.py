"""TV306 finds training loops that move nothing; without this a forgotten step would look like a plateau."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.runs import changed, only, silent, verdict, window
from tests.builtin.wired_runs import CHAIN, louder, wired
from torchvitals.builtin.no_update import NoUpdate
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic

TV306 = NoUpdate()


def run(steps: int, **options):
    return [wired(i, wiring=i < 4, **options) for i in range(steps)]


def test_weights_that_never_move_are_critical_at_the_third_look():
    runs = run(3, moving=())
    assert silent(TV306, window(runs[:2]))
    finding = only(TV306, window(runs))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.where == ("stem", "body", "head")
    assert finding.cause == "the optimizer's step changes nothing"


def test_a_healthy_run_is_silent():
    assert silent(TV306, window(run(60)))


def test_one_weight_that_moves_acquits():
    assert silent(TV306, window(run(9, moving=["head.bias"])))


def test_weights_that_are_changed_after_the_step_acquit():
    # The update is 0, but norms differ from look to look: copies of the weights are trained and copied back.
    runs = [changed(s, "update", sum_sq=[0.0] * 6) for s in run(9)]
    assert silent(TV306, window(runs))


def test_a_warm_up_from_0_is_healthy():
    still = run(2, moving=(), lr=0.0)
    assert all(silent(TV306, window([*still, *run(20)[2:]][:n])) for n in range(1, 20))


def test_a_decay_to_0_is_healthy():
    end = [wired(i, moving=(), lr=0.0, wiring=False) for i in range(40, 60)]
    assert silent(TV306, window([*run(40), *end]))


def test_a_learning_rate_of_0_from_the_start_is_a_warning_after_eight_steps():
    runs = run(8, moving=(), lr=0.0)
    assert silent(TV306, window(runs[:7]))
    finding = only(TV306, window(runs))
    assert (finding.severity, finding.cause) == (Severity.WARNING, "learning rate is 0")


def test_a_rate_that_nobody_told_accuses_nobody():
    assert silent(TV306, window(run(20, moving=(), lr=None)))


@pytest.mark.parametrize(
    "options",
    [
        {"gradient": 1e-9},  # converged
        {"lr": 1e-9},  # a rate that float32 loses
        {"resolution": 2.0**-7, "lr": 1e-2},  # a rate that bfloat16 loses
        {"labels": {"skipped": "scaler"}},
        {"loss": float("nan")},
        {"frozen": CHAIN, "fed": ()},
        {"held": ()},
        {"fed": (), "arrived": ()},
    ],
    ids=str,
)
def test_stillness_with_another_reason_is_left_alone(options):
    assert silent(TV306, window(run(20, **{"moving": (), **options})))


def test_bfloat16_is_no_excuse_where_the_step_is_large():
    assert not silent(TV306, window(run(3, moving=(), resolution=2.0**-7, lr=10.0, gradient=1.0)))


def test_an_adaptive_optimizer_makes_large_steps_of_small_gradients():
    adam: dict[str, Any] = {
        "labels": {"optimizer": "Adam"},
        "eps": 1e-8,
        "lr": 1e-3,
        "moving": (),
        "gradient": 1e-6,
    }
    assert not silent(TV306, window(run(3, **adam)))
    assert silent(TV306, window(run(20, **{**adam, "gradient": 1e-13})))  # far below eps


def test_an_optimizer_that_may_refuse_a_step_is_accused_only_if_it_never_made_one():
    labels: dict[str, Any] = {"labels": {"optimizer": "LBFGS"}}
    still = run(9, moving=(), **labels)
    assert not silent(TV306, window(still))
    moving = [wired(i, **labels) for i in range(5)]
    assert silent(TV306, window([*moving, *(wired(i, moving=(), **labels) for i in range(5, 20))]))


def test_weights_of_0_lose_no_step_to_rounding():
    assert not silent(TV306, window(run(3, moving=(), rms=0.0, lr=1e-9)))


@pytest.mark.parametrize("zeros", [(), CHAIN], ids=["none", "zeros"])
def test_gradients_that_are_emptied_before_the_step_are_critical(zeros):
    runs = run(3, fed=(), zeros=zeros, reached=CHAIN)
    assert silent(TV306, window(runs[:2]))
    finding = only(TV306, window(runs))
    assert (finding.severity, finding.since, finding.where) == (Severity.CRITICAL, 0, ("optimizer",))
    assert finding.cause.startswith("gradients are emptied before the step")


def test_gradients_that_are_kept_elsewhere_acquit_where_weights_move():
    assert silent(TV306, window(run(9, fed=(), reached=CHAIN, moving=CHAIN)))


def test_gradients_that_died_on_their_way_are_no_fault_of_the_loop():
    # A silent last activation: it gets a gradient, and nobody below it does.
    assert silent(TV306, window(run(9, fed=(), zeros=CHAIN, reached=CHAIN, arrived=["relu"])))


def test_a_graph_that_leads_to_nobody_is_no_fault_of_the_loop():
    assert silent(TV306, window(run(9, fed=(), reached=())))


def test_weight_decay_does_not_hide_gradients_that_are_emptied_to_0():
    assert not silent(TV306, window(run(3, fed=(), zeros=CHAIN, reached=CHAIN, moving=CHAIN)))


def test_a_step_before_backward_is_told_by_the_first_step():
    late = [wired(0, fed=(), reached=CHAIN), *(wired(i) for i in range(1, 9))]
    assert silent(TV306, window(late[:1]))
    finding = only(TV306, window(late[:2]))
    assert (finding.severity, finding.since) == (Severity.WARNING, 0)
    assert finding.cause.startswith("step before backward")


def test_a_first_step_of_which_the_backward_pass_did_not_reach_the_model_is_healthy():
    assert silent(TV306, window([wired(0, fed=(), arrived=()), wired(1), wired(2)]))


def test_an_optimizer_that_never_steps_is_critical():
    never = [Snapshot(i, {"loss": 1.0}, {"optimizer": "SGD", "stepped": "no"}) for i in range(2)]
    assert silent(TV306, window(never[:1]))
    finding = only(TV306, window(never))
    assert (finding.severity, finding.cause) == (Severity.CRITICAL, "optimizer.step is never called")


def test_one_of_two_optimizers_that_is_never_stepped_is_a_warning():
    # The loss leads to the first layers, but no step ever takes their gradients in hand.
    runs = run(24, fed=CHAIN[4:], reached=CHAIN)
    assert silent(TV306, window(runs[:23]))
    finding = only(TV306, window(runs))
    assert (finding.severity, finding.where) == (Severity.WARNING, ("stem", "body"))
    assert finding.cause == "one of several optimizers is never stepped"


@pytest.mark.parametrize(
    "options",
    [
        {"reached": CHAIN[4:]},
        {"zeros": CHAIN[:4], "reached": CHAIN},
        {"held": CHAIN[4:], "reached": CHAIN},
        {"moving": CHAIN, "reached": CHAIN},
    ],
    ids=str,
)
def test_layers_that_no_step_takes_for_another_reason_are_left_alone(options):
    assert silent(TV306, window(run(40, fed=CHAIN[4:], **options)))


@pytest.mark.parametrize("period", [2, 6, 16])
def test_optimizers_that_take_turns_are_healthy(period):
    turns = [
        wired(i, wiring=i < 2, fed=CHAIN if i % period == 0 else CHAIN[4:], reached=CHAIN)
        for i in range(1, 64)
    ]
    assert all(silent(TV306, window(turns[:n])) for n in range(1, 64))


def test_a_step_that_is_found_again_ends_the_finding():
    runs = [*run(6, moving=()), *(wired(i, wiring=False) for i in range(6, 8))]
    assert silent(TV306, window(runs))


@settings(max_examples=30)
@given(st.sets(st.sampled_from(CHAIN)), st.sets(st.sampled_from(CHAIN)), st.integers(1, 12))
def test_the_verdict_on_a_loop_knows_no_scale_of_the_loss(fed, moving, steps):
    runs = run(steps, fed=fed, moving=moving, reached=CHAIN)
    loud = [louder(s, 16.0) for s in runs]
    assert verdict(TV306.diagnose(window(runs))) == verdict(TV306.diagnose(window(loud)))


def test_it_keeps_the_rules_of_the_house():
    runs = [run(3, moving=()), run(9, moving=(), lr=0.0), run(3, fed=(), reached=CHAIN)]
    check_diagnostic(NoUpdate, windows=[window(r) for r in runs])
