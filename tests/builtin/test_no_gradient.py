"""TV204 names the layer next to the cut and acquits whoever learns now and then; without this a detached
branch would go unseen, or every head that waits for its turn would be accused.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.runs import only, silent, verdict, window
from tests.builtin.wired_runs import CHAIN, louder, wired, without
from torchvitals.builtin.no_gradient import NoGradient
from torchvitals.core.finding import Severity
from torchvitals.testing import check_diagnostic, table

TV204 = NoGradient()
BACK = CHAIN[2:]
FRONT = CHAIN[:2]


def run(steps: int, **options):
    """A run in which the wiring is looked at in the first four steps."""
    return [wired(i, wiring=i < 4, **options) for i in range(steps)]


def test_a_chain_that_is_cut_in_the_middle_is_told_at_the_second_look():
    cut = run(2, fed=CHAIN[4:])
    finding = only(TV204, window(cut))
    assert (finding.severity, finding.since) == (Severity.WARNING, 0)
    assert finding.where == ("body", "stem")
    assert "detach" in finding.cause
    assert finding.message == "body had no gradient at any of 2 looks, like 2 of 3 modules that could learn."
    assert silent(TV204, window(cut[:1]))


def test_a_healthy_run_is_silent():
    assert silent(TV204, window(run(60)))


def test_an_output_that_nobody_uses_waits_for_eight_looks():
    runs = run(8, fed=CHAIN[:4])
    assert silent(TV204, window(runs[:7]))
    finding = only(TV204, window(runs))
    assert (finding.where, finding.evidence["reason"]) == (("head",), "cut")


def test_what_was_never_called_waits_until_all_first_steps_have_passed():
    idle = run(24, fed=CHAIN[:4], executed=CHAIN[:4])
    assert silent(TV204, window(idle[:23]))
    finding = only(TV204, window(idle))
    assert (finding.where, finding.severity) == (("head",), Severity.WARNING)
    assert finding.cause == "never called, or called under no_grad"


def test_a_gradient_of_exactly_0_waits_as_long_and_tells_of_silent_units():
    zero = [wired(i, fed=BACK, zeros=FRONT, reached=CHAIN) for i in range(24)]
    assert silent(TV204, window(zero[:23]))
    finding = only(TV204, window(zero))
    assert (finding.where, finding.evidence["reason"]) == (("stem",), "zero")
    quiet = table("silence", ("stem_act", "body_act"), fired=False)
    dead = [type(s)(s.step, s.scalars, s.labels, {**s.tables, "silence": quiet}) for s in zero]
    assert only(TV204, window(dead)).evidence["silent_site"] == "stem_act"


@pytest.mark.parametrize("period", [2, 5, 7])
def test_heads_that_take_turns_are_healthy(period):
    # All heads run at every step, but only one of them is in the loss.
    runs = [wired(i, wiring=i < 4, fed=CHAIN[:4] if i % period else CHAIN) for i in range(64)]
    assert all(silent(TV204, window(runs[:n])) for n in range(1, 65))


def test_a_generator_that_is_detached_while_the_critic_learns_is_healthy():
    runs = [wired(i, wiring=i < 4, fed=BACK if i % 6 else CHAIN, witnesses=2) for i in range(1, 40)]
    assert all(silent(TV204, window(runs[:n])) for n in range(1, 40))


def test_a_branch_that_starts_at_0_is_healthy():
    first = wired(0, fed=BACK, zeros=FRONT, reached=CHAIN)
    assert silent(TV204, window([first, *(wired(i) for i in range(1, 40))]))


def test_frozen_layers_and_those_that_nobody_holds_are_not_judged():
    assert silent(TV204, window(run(40, frozen=FRONT)))
    assert silent(TV204, window(run(40, fed=BACK, held=BACK)))


def test_gradual_unfreezing_is_healthy():
    frozen = [wired(i, frozen=CHAIN[:4], wiring=i < 4) for i in range(30)]
    assert silent(TV204, window([*frozen, *(wired(i, wiring=False) for i in range(30, 60))]))


def test_a_bias_whose_gradient_is_0_by_design_is_covered_by_its_weight():
    design = [n for n in CHAIN if n != "body.bias"]
    assert silent(TV204, window(run(40, fed=design, zeros=["body.bias"], reached=CHAIN)))


def test_a_teacher_that_follows_its_student_by_other_hands_is_healthy():
    assert silent(TV204, window(run(40, fed=BACK, moving=CHAIN)))


EXPERTS = (*(f"experts.{i}.fc.weight" for i in range(4)), "head.weight")


@pytest.mark.parametrize("idle", [0, 2, 3])
def test_an_expert_that_no_sample_chose_is_a_note(idle):
    learn = [n for n in EXPERTS if n != EXPERTS[idle]]
    finding = only(TV204, window(run(30, names=EXPERTS, fed=learn, executed=learn)))
    assert (finding.severity, finding.where) == (Severity.INFO, (f"experts.{idle}.fc",))


def test_a_layer_of_a_chain_is_no_expert_although_the_next_one_is_built_alike():
    chain = tuple(f"hidden.{i}.linear.weight" for i in range(4))
    finding = only(TV204, window(run(30, names=chain, fed=chain[2:], executed=chain[2:])))
    assert (finding.severity, set(finding.where)) == (
        Severity.WARNING,
        {"hidden.0.linear", "hidden.1.linear"},
    )


def test_of_two_branches_that_are_built_alike_the_detached_one_is_accused_and_a_teacher_is_a_note():
    for other, severity in (("right", Severity.WARNING), ("teacher", Severity.INFO)):
        names = ("left.fc.weight", f"{other}.fc.weight", "head.weight")
        finding = only(TV204, window(run(9, names=names, fed=(names[0], names[2]))))
        assert (finding.where, finding.severity) == ((f"{other}.fc",), severity)


def test_steps_that_a_scaler_skipped_or_that_overflowed_do_not_count():
    skipped = [wired(i, fed=CHAIN[:4], labels={"skipped": "scaler"}) for i in range(10)]
    overflowed = [wired(i, fed=CHAIN[:4], loss=np.nan) for i in range(10, 20)]
    assert silent(TV204, window([*skipped, *overflowed]))


def test_a_gradient_that_comes_later_ends_the_finding():
    runs = run(10, fed=CHAIN[:4])
    assert not silent(TV204, window(runs))
    assert silent(TV204, window([*runs, wired(10, wiring=False)]))


def test_without_a_look_at_the_wiring_gradients_alone_decide():
    runs = [without(s, "wiring", "witness") for s in run(24, fed=BACK)]
    assert silent(TV204, window(runs[:23]))
    assert only(TV204, window(runs)).where == ("stem",)


@settings(max_examples=40)
@given(
    st.sets(st.sampled_from(["stem", "body", "head"])),
    st.sampled_from([0.25, 4.0, 1024.0]),
    st.integers(1, 30),
)
def test_the_verdict_knows_no_scale_of_the_loss(learning, factor, steps):
    runs = run(steps, fed=[n for n in CHAIN if n.partition(".")[0] in learning])
    loud = [louder(s, factor) for s in runs]
    assert verdict(TV204.diagnose(window(runs))) == verdict(TV204.diagnose(window(loud)))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(NoGradient, windows=[window(run(9, fed=CHAIN[:4])), window(run(30, fed=BACK))])


# -- a whole net without a gradient


def test_a_loss_that_is_the_same_whatever_the_net_says_is_critical():
    runs = run(8, fed=(), zeros=CHAIN, reached=CHAIN)
    assert silent(TV204, window(runs[:7]))
    finding = only(TV204, window(runs))
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 0)
    assert finding.where == ("head", "body", "stem")
    assert finding.cause == "the loss is the same whatever the parameters are"


def test_a_loss_that_is_cut_off_from_the_model_is_critical():
    # A table without a row is not measured.
    runs = [without(s, "gradient") for s in run(8, fed=(), arrived=(), reached=CHAIN)]
    finding = only(TV204, window(runs))
    assert (finding.severity, finding.cause.partition(":")[0]) == (
        Severity.CRITICAL,
        "the loss is cut off from the model",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"zeros": CHAIN, "loss": 0.0},  # a margin that is met, a reward of 0
        {"zeros": CHAIN, "loss": np.nan},
        {"frozen": CHAIN},
        {"held": ()},
        {"arrived": ["head"]},  # sites have gradients: the loop loses them
        {"moving": CHAIN, "arrived": ()},  # an engine that keeps gradients elsewhere
        {"executed": (), "arrived": ()},  # a step without a forward pass
    ],
    ids=str,
)
def test_a_net_without_a_gradient_for_another_reason_is_left_alone(options):
    runs = run(30, **{"fed": (), "reached": CHAIN, "arrived": (), **options})
    assert silent(TV204, window(runs))


def test_a_net_that_has_learned_all_is_healthy():
    assert silent(TV204, window([*run(30), *(wired(i, fed=(), zeros=CHAIN) for i in range(30, 60))]))


def test_what_waits_for_a_step_of_its_own_optimizer_is_not_cut():
    assert silent(TV204, window(run(40, fed=BACK, reached=CHAIN)))
