"""TV305 finds what no optimizer holds; without this a replaced head would stay random, or every linear probe
raise an alarm.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.runs import only, silent, verdict, window
from tests.builtin.wired_runs import CHAIN, extended, louder, wired
from torchvitals.builtin.not_in_optimizer import NotInOptimizer
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV305 = NotInOptimizer()
HEAD, BODY = CHAIN[4:], CHAIN[:4]


def run(steps: int, *, held=CHAIN, foreign: float = 0.0, **options):
    """A run in which what is held moves, unless it is said otherwise."""
    options = {"fed": held, "reached": CHAIN, **options}
    return [wired(i, wiring=i < 4, held=held, foreign_parameters=foreign, **options) for i in range(steps)]


def test_a_head_that_was_replaced_after_the_optimizer_was_built_is_critical():
    runs = run(3, held=BODY, foreign=2)
    assert silent(TV305, window(runs[:2]))
    finding = only(TV305, window(runs))
    assert (finding.severity, finding.where, finding.since) == (Severity.CRITICAL, ("head",), 0)
    assert finding.cause.startswith("the optimizer was built before the layers were replaced")
    assert finding.evidence["foreign_parameters"] == 2


def test_a_head_that_was_forgotten_is_a_warning():
    finding = only(TV305, window(run(3, held=BODY)))
    assert (finding.severity, finding.where) == (Severity.WARNING, ("head",))
    assert (
        finding.message
        == "No optimizer holds the parameters of head: 33% of all trainable weights stay as they are."
    )


def test_a_linear_probe_on_a_backbone_that_nobody_froze_is_a_note():
    assert only(TV305, window(run(9, held=HEAD))).severity is Severity.INFO


def test_training_the_upper_part_only_is_a_note_although_most_weights_are_in_it():
    assert only(TV305, window(run(9, held=CHAIN[2:]))).severity is Severity.INFO


def test_adapters_between_layers_that_nobody_froze_are_a_note():
    names = ("a.weight", "adapter1.weight", "b.weight", "adapter2.weight", "c.weight")
    adapters = [n for n in names if "adapter" in n]
    size = {n: 8.0 if n in adapters else 640.0 for n in names}
    assert (
        only(TV305, window(run(9, names=names, held=adapters, reached=names, size=size))).severity
        is Severity.INFO
    )


def test_weights_of_the_loss_beside_a_probe_do_not_make_it_stale():
    assert only(TV305, window(run(9, held=HEAD, foreign=1))).severity is Severity.INFO


def test_all_in_the_optimizers_hands_is_healthy_whatever_else_they_hold():
    assert silent(TV305, window(run(40)))
    assert silent(TV305, window(run(40, foreign=5)))


def test_what_moves_by_other_hands_is_healthy():
    # A critic whose own optimizer is not watched; the whole model, trained through copies of its weights.
    assert silent(TV305, window(run(9, held=BODY, moving=CHAIN)))
    assert silent(TV305, window(run(9, held=(), foreign=6, fed=(), moving=CHAIN)))


def test_a_teacher_that_the_loss_does_not_reach_is_healthy():
    assert silent(TV305, window(run(9, held=CHAIN[2:], reached=CHAIN[2:])))
    assert silent(TV305, window(run(9, held=BODY, reached=BODY, foreign=2)))


def test_frozen_layers_need_no_optimizer():
    assert silent(TV305, window(run(9, held=HEAD, frozen=BODY)))


def test_an_optimizer_of_another_model_is_critical():
    finding = only(TV305, window(run(3, held=(), foreign=6, fed=CHAIN, moving=())))
    assert (finding.severity, finding.where) == (Severity.CRITICAL, ("stem", "body", "head"))
    assert finding.message == "The optimizer holds none of the model's parameters: nothing can learn."


def test_an_optimizer_that_holds_frozen_layers_only_is_critical():
    finding = only(TV305, window(run(3, held=BODY, frozen=BODY, fed=HEAD, moving=())))
    assert (finding.severity, finding.where) == (Severity.CRITICAL, ("head",))
    assert finding.cause == "the optimizer holds frozen parameters only"
    whole = only(TV305, window(run(3, held=CHAIN, frozen=CHAIN, fed=(), moving=())))
    assert (whole.severity, whole.where) == (Severity.CRITICAL, ("optimizer",))


def test_a_frozen_net_whose_input_is_trained_is_healthy():
    assert silent(TV305, window(run(9, held=(), frozen=CHAIN, foreign=1)))


def test_a_run_without_a_known_optimizer_is_not_judged():
    runs = run(9, held=BODY, foreign=2)
    unknown = [Snapshot(s.step, s.scalars, {}, s.tables) for s in runs]
    assert silent(TV305, window(unknown))


def loose(steps: int, *, entries: float = 48.0, batch: float = 512.0, **flags: float):
    """A run whose loss has a tensor in its graph that is no parameter."""
    flags = {"registered": 0.0, "held": 0.0, "reached": 1.0, **flags}
    for seen in run(steps):
        look = seen
        if "wiring" in seen:
            look = extended(seen, "wiring", ("unregistered[0]",), count=entries, **flags)
        given = table("input", ("input",), count=batch)
        yield Snapshot(look.step, look.scalars, look.labels, {**look.tables, "input": given})


def test_layers_in_a_plain_list_are_critical_at_the_second_look():
    runs = list(loose(40))
    assert silent(TV305, window(runs[:1]))
    finding = only(TV305, window(runs[:2]))
    assert (finding.severity, finding.where, finding.since) == (Severity.CRITICAL, ("unregistered[0]",), 0)
    assert finding.evidence == {"tensors": 1, "entries": 48}
    assert not silent(TV305, window(runs))


@pytest.mark.parametrize(
    "change", [{"entries": 512.0}, {"held": 1.0}, {"registered": 1.0}, {"reached": 0.0}], ids=str
)
def test_a_perturbation_of_the_input_and_what_is_held_are_healthy(change):
    assert silent(TV305, window(loose(9, **change)))


def test_a_layer_that_is_given_to_the_optimizer_later_ends_the_finding():
    runs = [*run(6, held=BODY), *(wired(i, wiring=False) for i in range(6, 9))]
    assert silent(TV305, window(runs))


def test_a_head_that_is_replaced_in_training_is_dated_to_its_first_look():
    later = [wired(i, wiring=False, held=BODY, fed=BODY, foreign_parameters=2) for i in range(9, 14)]
    assert only(TV305, window([*run(9), *later])).since == 9


@settings(max_examples=30)
@given(st.sets(st.sampled_from(CHAIN)), st.integers(0, 6), st.sampled_from([0.125, 8.0]))
def test_the_verdict_knows_no_scale_of_the_loss(held, foreign, factor):
    runs = run(5, held=sorted(held, key=CHAIN.index), foreign=foreign)
    loud = [louder(s, factor) for s in runs]
    assert verdict(TV305.diagnose(window(runs))) == verdict(TV305.diagnose(window(loud)))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(
        NotInOptimizer,
        windows=[window(run(3, held=BODY, foreign=2)), window(run(3, held=())), window(loose(3))],
    )
