"""TV403 knows what a net can do without its input; without this a slow start would be called a failure."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builtin.loss_runs import alarms, findings, red, run, times, windows
from tests.builtin.runs import verdict
from torchvitals.builtin.not_learning import NotLearning
from torchvitals.core.finding import Severity
from torchvitals.testing import check_diagnostic, table

TV403 = NotLearning()
CHANCE = math.log(10)


def stuck(steps: int = 260, level: float = CHANCE, noise: float = 0.03, seed: int = 0) -> np.ndarray:
    """Comes down to a level from a little above, and stays."""
    excess = 0.3 * np.exp(-np.arange(steps) / 5)
    return level + excess + noise * np.random.default_rng(seed).standard_normal(steps)


def sites(*ops: str):
    return {"activation": table("activation", tuple(f"net.{i}" for i in range(len(ops))), op=list(ops))}


def test_a_classifier_at_chance_is_a_note_early_and_a_warning_late():
    found = findings(TV403, run(stuck(), op="cross_entropy"))
    assert [f.severity for step, f in found] == [
        Severity.WARNING if step >= 192 else Severity.INFO for step, _ in found
    ]
    assert found[0][0] == 64
    _, finding = found[-1]
    assert (finding.where, finding.since) == (("model",), 0)
    assert finding.cause == "nothing learned: labels, architecture or learning rate"
    assert finding.evidence["trivial_loss"] == pytest.approx(CHANCE)


def test_a_net_without_activations_is_told_so():
    given = run(stuck(), op="cross_entropy", tables=sites("Linear", "Linear", "Linear"))
    _, finding = alarms(TV403, given)[0]
    assert finding.cause == "no activation between the layers"
    assert finding.remedies[0].overrides == ("activation=relu", "init=he_normal")


@pytest.mark.parametrize(
    "ops", [("Linear", "relu", "Linear"), ("Linear",), ("Conv2d", "MaxPool2d", "Linear")]
)
def test_one_that_bends_somewhere_or_has_one_layer_is_not(ops):
    _, finding = alarms(TV403, run(stuck(), op="cross_entropy", tables=sites(*ops)))[0]
    assert finding.cause.startswith("nothing learned")


def test_a_learned_class_balance_is_no_learning():
    balance = {"prior": 64 * 0.5, "count": 64, "classes": 2}
    assert alarms(TV403, run(stuck(level=0.508, noise=0.01), op="cross_entropy", **balance))
    assert alarms(TV403, run(stuck(level=0.45), op="cross_entropy", **balance)) == []


def test_the_balance_of_few_targets_says_little_and_ln_c_counts():
    few = {"prior": 16 * 1.5, "count": 16, "classes": 10}
    assert alarms(TV403, run(stuck(level=1.9), op="cross_entropy", **few)) == []
    assert alarms(TV403, run(stuck(), op="cross_entropy", **few))


def test_smoothed_labels_are_compared_with_ln_c():
    assert alarms(TV403, run(stuck(), op="cross_entropy", adjusted=1.0))
    assert alarms(TV403, run(stuck(level=2.0), op="cross_entropy", adjusted=1.0, prior=64 * 1.8)) == []


def test_a_regression_that_predicts_the_mean_is_stuck():
    targets = {"classes": 0, "target_sum": 64 * 3.0, "target_sq": 64 * (9 + 1.0)}
    assert alarms(TV403, run(stuck(level=1.0), op="mse_loss", **targets))
    assert alarms(TV403, run(stuck(level=0.9), op="mse_loss", **targets)) == []


def test_binary_losses_have_a_balance_too():
    assert alarms(TV403, run(stuck(level=0.69), op="binary_cross_entropy_with_logits", classes=0))
    one_sided = run(stuck(level=0.69), op="binary_cross_entropy_with_logits", classes=0, prior=0.0)
    assert alarms(TV403, one_sided) == []  # a discriminator's batch: there is nothing to predict


def test_a_loss_that_falls_slowly_acquits():
    falling = stuck(noise=0.01) * np.linspace(1, 0.985, 260)
    assert alarms(TV403, run(falling, op="cross_entropy")) == []


def test_a_plateau_that_is_left_is_silent_from_then_on():
    losses = np.where(np.arange(400) < 100, stuck(400), 2.3 * np.exp(-(np.arange(400) - 100) / 50))
    assert alarms(TV403, run(losses, op="cross_entropy")) == []
    late = np.where(np.arange(600) < 300, stuck(600), 2.3 * np.exp(-(np.arange(600) - 300) / 50))
    assert max(step for step, _ in alarms(TV403, run(late, op="cross_entropy"))) <= 320


def test_nothing_is_said_while_the_learning_rate_warms_up():
    rates = np.minimum(np.arange(260) / 240, 1)
    assert {step for step, _ in findings(TV403, run(stuck(), op="cross_entropy", rates=rates))} <= {256}


def test_without_gradients_the_loss_has_no_choice():
    assert findings(TV403, run(stuck(), op="cross_entropy", norm=0.0)) == []


def test_a_loss_that_no_function_explains_is_a_note_and_said_to_be_unjudged():
    given = run(stuck())
    assert {f.severity for _, f in findings(TV403, given)} == {Severity.INFO}
    last = list(windows(given))[-1]
    assert "not that of one loss function" in str(TV403.blind(last))
    assert TV403.blind(list(windows(run(stuck(), op="cross_entropy")))[-1]) is None


def test_a_sum_of_which_the_function_is_a_changing_part_is_unexplained():
    given = run(stuck() + np.linspace(3, 0, 260) ** 2, op=None)
    parts = run(stuck(), op="cross_entropy")
    mixed = [type(s)(s.step, s.scalars, s.labels, p.tables, s.due) for s, p in zip(given, parts, strict=True)]
    assert alarms(TV403, mixed) == []


def test_targets_that_move_are_no_yardstick():
    given = run(stuck(level=1.0), op="mse_loss", classes=0)
    moving = [
        type(s)(s.step, s.scalars, s.labels, {**s.tables, "loss": _shifted(s)}, s.due) if s.due else s
        for s in given
    ]
    assert alarms(TV403, given)
    assert alarms(TV403, moving) == []


def _shifted(look):
    mean, value = look.step / 50, float(look.scalars["loss"])
    return table("loss", ("mse_loss",), op="mse_loss", loss_sum=64 * value, target_sum=64 * mean,
                 target_sq=64 * (1 + mean**2))  # fmt: skip


def test_a_healthy_fall_is_silent_at_every_noise():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        level = CHANCE * np.exp(-np.arange(300) / 60) + 0.1
        assert findings(TV403, run(level * (1 + 0.2 * red(rng, 300)), op="cross_entropy")) == []


@settings(max_examples=10, deadline=None)
@given(st.integers(-30, 30), st.sampled_from([stuck(200), stuck(200) * np.linspace(1, 0.5, 200)]))
def test_the_unit_of_the_loss_does_not_matter(exponent, losses):
    given = run(losses, op="cross_entropy")
    ours = [f for _, f in findings(TV403, given)]
    assert verdict(ours) == verdict(f for _, f in findings(TV403, times(given, 2.0**exponent)))


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(NotLearning, windows=list(windows(run(stuck(), op="cross_entropy")))[-2:])
